"""Who hangs below which node of the circuit tree: the pairs that its rows are made of."""

from dataclasses import dataclass

import numpy as np

from optimizer.arrays import Flags, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """One entry a pair of a node and something below it, node by node: `node`, the `member`'s number, its `slot`."""

    node: Ints
    member: Ints
    slot: Ints

    @classmethod
    def of(cls, holds: Flags, owner: Ints, slot: Ints) -> "Members":
        """`holds` (node, owner) says who hangs below a node; each member has an owner and a slot."""
        order = np.argsort(owner, kind="stable")
        end = np.cumsum(np.bincount(owner, minlength=holds.shape[1]))
        node, held = np.nonzero(holds)
        count = np.diff(end, prepend=0)[held]
        shift = end[held] - np.cumsum(count)  # from where entries are to where their members are in `order`
        member = order[np.arange(count.sum()) + np.repeat(shift, count)]
        return cls(node=np.repeat(node, count), member=member, slot=slot[member])

    def below(self, nodes: Flags) -> "Members":
        """Only the pairs of the nodes that are flagged."""
        chosen = np.flatnonzero(nodes[self.node])
        return Members(self.node[chosen], self.member[chosen], self.slot[chosen])
