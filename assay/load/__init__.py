"""The nouns and the arithmetic of a load test; nothing here talks to a server.

::

    profile ── what is asked of a run, and what it must meet      (policy.yaml, `load:`)
       │
    arrivals ─ when each request is meant to start: seconds, fixed before the first one
       │
    samples ── what became of each request                        (from a `LoadGenerator`)
       │
    percentiles ── their distribution: exact, or a sketch of bounded memory
       │
    summary ── rates, percentiles, objectives met or missed, and whether the run counts at all

Time is counted from the *intended* start of a request. A server that stalls for two seconds then
owes two seconds to everybody who would have come meanwhile, whether or not a client was free to ask
(coordinated omission; Tene, "How NOT to Measure Latency", 2013).
"""
