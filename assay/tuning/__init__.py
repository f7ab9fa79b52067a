"""The nouns and the arithmetic of tuning; nothing here starts an engine or talks to a server.

::

    space ───────── which engine settings may be changed, and to what      (tune.yaml)
       │
    arguments ───── a profile's arguments as settings, and settings as a profile
       │
    trials ──────── what became of one point of the space: measured, pruned, refused, killed
       │
    recommendation  the best settings, by how much, how sure, or: keep what you have
       │
    serving_edit ── the recommendation as a change of `serving.yaml` that leaves its comments alone
    picture ─────── goodput against time to the first word, and against cost

Settings are never applied by being found: a gate judges them like a model
(`flows.settings_change`).
"""
