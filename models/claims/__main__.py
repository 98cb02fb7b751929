"""`python -m models.claims`: draw up the verdicts anew from models/evidence/*.json."""

from models.claims import page

page.write()
