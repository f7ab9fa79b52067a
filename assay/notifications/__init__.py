"""What people are told when a release is decided, and how they are told.

::

    notice          what happened, in fields: never a case's text, a secret or a key
    configuration   `notifications.yaml`: channels, the events that each wants, names of variables
    rendering       a notice as words, by templates of the package or of the team
    webhook         a notice as a signed document (Standard Webhooks)

Sending is the adapters' (`adapters.notifier_…`); when something is sent, how long that may take,
and that a failure changes nothing, is `flows.notifying`'s.
"""
