"""A small world of Argo CD, Temporal and PostgreSQL, in which the real gate is run.

It behaves as facts.md and lab.md say the real ones do, as far as the gate can tell, and knows the truth beside what is
seen of it. Time passes only while the gate sleeps, looks or acts. What the gate must never do is noted in `violations`.
"""
