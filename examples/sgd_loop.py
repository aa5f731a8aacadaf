"""Train a linear SVM on a9a by stochastic gradient descent, in a loop of one's own. Needs only NumPy."""

import time
from pathlib import Path

import numpy as np

import hingefast as hf
from hingefast.io.svmlight import read_svmlight  # private until a faster reader takes its place

EPOCHS = 5
BATCH = 64

X, y = read_svmlight(Path(__file__).parent / "a9a.xz")

# With alpha = 0 a step touches only the columns that its batch stores.
objective = hf.Objective(X, y, loss="hinge", n_threads=1)
theta = np.zeros(objective.size)
rng = np.random.default_rng(0)

n_steps = 0
for epoch in range(1, EPOCHS + 1):
    start = time.perf_counter()
    order = rng.permutation(objective.n_rows)
    losses = []
    for first in range(0, objective.n_rows, BATCH):
        rate = 0.5 / np.sqrt(1 + n_steps / 100)
        losses.append(objective.step(theta, rate, rows=order[first : first + BATCH]))
        n_steps += 1
    seconds = time.perf_counter() - start
    accuracy = np.mean((objective.decision_function(theta) > 0) == (y > 0))
    print(
        f"epoch {epoch}: mean loss of its batches {np.mean(losses):.4f}, "
        f"loss of all rows {objective.value(theta):.4f}, training accuracy {accuracy:.4f}, {seconds:.2f} s"
    )
