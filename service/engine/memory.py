"""What the C library's allocator does with large blocks of memory."""

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""glibc's names and numbers, malloc.h."""

KEPT_BYTES = 128 * 2**20
LARGEST_KEPT_BLOCK_BYTES = 32 * 2**20
"""glibc takes no more."""


def keep_large_blocks() -> bool:
    """Have freed memory kept for the next request, up to `KEPT_BYTES`.

    Otherwise glibc gives a large tensor's memory back to the system as soon as it is freed, and takes it anew, page by
    page and filled with zeros, for the next (docs/performance.md has what that costs).

    Returns:
        Whether the C library has taken it; false where it is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not a C library that has it
        return False
    wanted = {M_MMAP_THRESHOLD: LARGEST_KEPT_BLOCK_BYTES, M_TRIM_THRESHOLD: KEPT_BYTES, M_TOP_PAD: 2**20}
    taken = [mallopt(name, value) for name, value in wanted.items()]
    return all(taken)
