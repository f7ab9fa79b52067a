"""From what people answered to a proposed golden set: the pure half of relabel ingestion.

::

    export ─▶ readings ─▶ ledger ─▶ annotators ─▶ consensus ─▶ admission ─▶ derive ─▶ proposal
    (bytes)   label_studio  (who      (whose       (what        (duplicates,  (golden    (files and
              argilla, flat  said      answers      they         leaks,        set,       digests)
              intake         what)     count)       agree on)    quotas)       history)

The ledger is what makes it safe to repeat: it is a set of the latest answer of each person to each
text, joined by a rule that is commutative, associative and idempotent. The golden set is a function
of the set before people answered, the ledger and the policy. So the same export twice changes
nothing, half of it and then the whole equals the whole, and the order of lines does not matter.
"""
