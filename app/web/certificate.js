// The fail-safe certificate: what is proven of the fuses if every link drops now, and what that rests on.

import { chip, element, hourAndMinute, number } from "./format.js";

export function showCertificate(status, table, list, certificate, timeZone) {
  status.replaceChildren(verdict(certificate, timeZone));
  table.tBodies[0].replaceChildren(...worst(certificate.fuses).map((fuse) =>
    element("tr", { "data-fuse": nameOf(fuse) },
      element("td", {}, nameOf(fuse)),
      element("td", {}, `${number(fuse.base)} + ${number(fuse.charging)} ${fuse.unit}`),
      element("td", {}, `${number(fuse.rating)} ${fuse.unit}`),
      element("td", {}, chip(room(fuse), fuse.holds_from === null ? "bad" : tone(fuse, certificate))),
    )));
  const zeros = Object.entries(certificate.fallback_a).filter(([, current]) => current === 0).map(([evse]) => evse);
  list.replaceChildren(...[
    ...certificate.assumptions,
    certificate.unlimited.length ? `no confirmed fallback, so counted in full: ${certificate.unlimited.join(", ")}` : null,
    zeros.length ? `get nothing while nobody speaks to them: ${zeros.join(", ")}` : null,
  ].filter(Boolean).map((text) => element("li", {}, text)));
}

function verdict(certificate, timeZone) {
  if (certificate.holds) return chip("holds whichever links drop", "good");
  if (certificate.holds_from === null) return chip("not proven", "bad");
  return chip(`holds from ${hourAndMinute(certificate.holds_from, timeZone)}`, "warn");
}

// Of each circuit the limit with the least room: three phases and a power would say the same four times.
function worst(fuses) {
  const byCircuit = new Map();
  for (const fuse of fuses) {
    const share = (fuse.margin ?? -Infinity) / fuse.rating;
    const known = byCircuit.get(fuse.circuit_id);
    if (known === undefined || share < known.share) byCircuit.set(fuse.circuit_id, { share, fuse });
  }
  return [...byCircuit.values()].map(({ fuse }) => fuse);
}

const nameOf = (fuse) => (fuse.phase === null ? fuse.circuit_id : `${fuse.circuit_id} ${fuse.phase}`);

const tone = (fuse, certificate) => (fuse.holds_from === certificate.made_at ? "good" : "warn");

const room = (fuse) => (fuse.margin === null ? "unknown" : `${number(fuse.margin)} ${fuse.unit}`);
