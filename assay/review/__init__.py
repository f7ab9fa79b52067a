"""What people should look at next: the pure half of review export.

::

    feedback ─▶ requests ─┐
    traffic  ─▶ requests ─┤                    random share ─┐
    evidence ─▶ work_orders, suspicion ─▶ admission ─▶ selection ─▶ tasks ─▶ files
    golden set ─▶ honeypots ───────────────────────────┘          (Label Studio, flat)

A text is drawn for one reason, and that reason decides what its labels may be used for. The random
share is drawn first and from traffic alone, without regard to any signal: it is what keeps the
stratum `core` an unbiased picture of production. Everything else is looked at *because* something
seems wrong with it, and may enter the stratum `hitl` only.
"""
