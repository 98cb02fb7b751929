"""The article's claims, each with the rule that turns an experiment's numbers into a verdict.

The rules were written before the numbers were known. Nothing here trains or needs torch: `python -m models.claims`
draws up claims.json and docs/claims.md anew from models/evidence/*.json.
"""
