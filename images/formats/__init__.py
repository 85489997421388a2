"""What an uploaded file really is, and whether it may be kept.

`inspect.py` decides; one module per family of formats reads that family's header and tables, bounded in time and memory,
through a `View` of the bytes. The same checks run twice: on the first mebibyte while the rest is still on its way, as far as
those bytes reach, and on the whole file. `reference.py` asks oslo.utils' format_inspector, the judge Glance and Nova use;
qemu-img has the last word, under limits, once nothing suspicious is left.

A family module is one function, `check(view, facts)`: it fills in the facts and raises a one-sentence refusal. To add a
format, write one and name it in `inspect.FAMILIES` and `signatures.py`.
"""
