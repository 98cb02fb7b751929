"""The experiments behind the claims: one module each, with `run(lab)`, its raw numbers, and `draw(result)`, its figure.

What a claim concludes from them is in `models.claims`.
"""
