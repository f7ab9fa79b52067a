"""The embedded toxicity lexicon: `lexicon.json`, and the two steps that read it.

`normalise` turns a text into sentences of plain words, undoing the usual disguises; `patterns`
validates the lexicon and compiles its templates. What a match is worth, and the scorer plug-in
itself, are in `evaluators.scorers`. README.md beside this file gives the template language, the
measured quality and the limits.
"""
