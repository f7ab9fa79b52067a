"""The embedded toxicity lexicon: `lexicon.json`, and the three steps that use it.

`normalise` turns a text into sentences of plain words, undoing the usual disguises; `patterns`
validates the lexicon and compiles its templates; `scorer` adds up what matches. README.md beside
this file gives the template language, the measured quality and the limits.
"""
