"""Charging stations that another CSMS is connected to: what we ask goes through it, what they say comes from it.

A station behind another CSMS is spoken to by the same dialects as one at our own gateway. What differs is the road:
`road` names what a road must do, `citrineos` and `webhook` are two of them, `tunnel` lets a session run over one.
"""
