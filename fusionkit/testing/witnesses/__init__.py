"""Programs that import an author's code in a process of their own and write down what it does.

Nothing heavy is imported here: what a witness sees must come from the author. What it saw is judged in `packages`.
"""
