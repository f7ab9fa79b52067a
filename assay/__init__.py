"""Assay: decides whether a new version of an LLM classifier may replace the one in production.

The map, from the outside in:

- `cli`: the command line; the front door, above everything else.
- `adapters`: one implementation of one port each, named role_vendor.
- `ports`: the seams: store, server, client, golden source, validator, registry.
- `verdict`, `policy`, `noninferiority`, `randomisation`, `intervals`, `power`: the judgement, pure.
- `task`, `golden_set`, `predictions`, `serving_profile`, `documents`: what comes in, validated.
- `evidence`, `report`: what goes out.
- `records`, `digests`, `errors`: the nouns, their identities, and what can go wrong.

The packages `evaluators` and `flows` stand above this one and are never imported from here, but
by `cli`.
"""
