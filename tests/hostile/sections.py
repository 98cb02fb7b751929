"""All tables, by the letter of their section."""

from tests.hostile import binary, documents, forms, heads, names, pictures, queries, tensors

SECTIONS = {
    "H": heads.CASES,
    "J": documents.CASES,
    "T": tensors.CASES,
    "B": binary.CASES,
    "I": pictures.CASES,
    "M": forms.CASES,
    "Q": queries.CASES,
    "P": names.CASES,
}
CASES = [case for cases in SECTIONS.values() for case in cases]
