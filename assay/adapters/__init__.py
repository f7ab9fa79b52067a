"""Adapters: one implementation of one port each, named role_vendor; all I/O of Assay is here."""
