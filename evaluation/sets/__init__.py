"""The sets of questions: a company's handbook, SciFact, and generated ones for exact words and other languages."""
