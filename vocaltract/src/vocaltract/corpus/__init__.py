"""Which speaker says what, in which manner, and the folder that it is written to."""

from vocaltract.corpus.jobs import make_corpus
from vocaltract.corpus.plan import DESIGN, PLANS, Options, Task, tasks

__all__ = ["DESIGN", "PLANS", "Options", "Task", "make_corpus", "tasks"]
