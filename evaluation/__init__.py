"""How well the product finds the right passage, measured beside what people would otherwise use.

`python -m evaluation` (or `make eval`) takes sets of documents in through the running api, asks their questions and
prints the tables of docs/reference/evaluation.md.
"""
