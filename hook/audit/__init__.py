"""`audit`: whether a gate gates. Looks at how a rollout is ordered and what is in its Applications; changes nothing.

`sources` read manifests or the API into the values of `rollout`; `rules` judge them, each a pure function; `verdict` says
what holds each Application; `telling` prints it. The table of findings is `holds`.
"""
