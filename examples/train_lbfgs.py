"""Train a linear SVM on a9a with L-BFGS-B. Needs SciPy."""

import time
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

import hingefast as hf
from hingefast.io.svmlight import read_svmlight  # private until a faster reader takes its place

X, y = read_svmlight(Path(__file__).parent / "a9a.xz")

# C = 1 of LIBLINEAR: alpha is 1 / (n_rows * C). The intercept is not penalised.
objective = hf.Objective(X, y, loss="squared_hinge", alpha=1 / X.shape[0])

start = time.perf_counter()
result = minimize(objective, np.zeros(objective.size), jac=True, method="L-BFGS-B")
seconds = time.perf_counter() - start

coef, intercept = objective.unpack(result.x)
accuracy = np.mean((objective.decision_function(result.x) > 0) == (y > 0))
print(f"rows {objective.n_rows:,}, features {objective.n_features}, C = {objective.C:g}")
print(f"L-BFGS-B: {result.nit} iterations, {result.nfev} passes over the data, {seconds:.2f} s")
print(f"objective {result.fun:.6f}, training accuracy {accuracy:.4f}")
print(hf.margin_report(y, objective.decision_function(result.x), coef=coef))
