"""How fit a golden set still is to be judged with: checks, figures, and a page with plots.

::

    rules         what counts as healthy (`golden_data/health.yaml`, or the defaults)
    health        the records: a check, the whole of them, and what became worse since the last time
    provenance    who published the set, by its signed manifest
    composition   classes, strata, and what of the task is not in the set at all
    near_pairs    texts that say the same thing twice, for sets of a million rows
    support       which classes are large enough for the policy's margins
    label_noise   how far annotators agree, and which labels to look at first
    answers       what stored models made of the cases: never right, always right
    wear          how old the set is, and how often it has been used
    traffic       a sample of what users send, read from JSONL or Parquet
    drift         whether the set still looks like that sample
    assess        all of them over one set
    plots, page   the report

Everything here is a function of its arguments; where evidence, dates and the ledger come from is
left to `flows.golden_health`. What was not given is undecided and said so, never healthy.
"""
