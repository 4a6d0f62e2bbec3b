"""Classifiers without a fine-tuned model: most frequent answer, nearest class mean, linear probe.

Nothing here sees a test answer. Answers are texts; what is offered for an example limits them.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STRENGTHS = tuple(10.0**power for power in range(-4, 3))  # C, the inverse of regularisation
WITHOUT_CV = 1.0  # C where a class has one shot, so that nothing can be held out
FOLDS = 5
ITERATIONS = 2000


@dataclass(frozen=True)
class ProbeData:
    """Features of shots and of test examples, (N, D) and (M, D), with the answers of the shots.

    offered: the answers that each test example allows.
    """

    shots: NDArray[np.float32]
    answers: Sequence[str]
    tests: NDArray[np.float32]
    offered: Sequence[Sequence[str]]

    def problem(self) -> str:
        """Why nothing can be fitted, in words; "" if it can."""
        import numpy as np

        if not (np.isfinite(self.shots).all() and np.isfinite(self.tests).all()):
            return "the features are not finite"
        if len(set(self.answers)) < 2:
            return "the shots are all of one class"
        return ""


class Fitted(NamedTuple):
    """An answer for each test example, None where none of those offered has a shot; and how."""

    answers: list[str | None]
    how: str


def most_frequent(answers: Sequence[str], offered: Sequence[Sequence[str]]) -> Fitted:
    """The answer that most shots have, among those offered; of equal ones the first offered."""
    counts = Counter(answers)
    chosen: list[str | None] = [max(row, key=lambda answer: counts[answer]) for row in offered]
    (answer, count), *_ = counts.most_common(1)
    equal = sum(other == count for other in counts.values()) - 1
    of = f"{count} of {len(answers)} shots"
    if equal:
        return Fitted(chosen, f"{equal + 1} answers have {of} each; the first offered is taken")
    return Fitted(chosen, f"{answer!r}, {of}")


def nearest_mean(data: ProbeData) -> Fitted:
    """The class whose mean is nearest: features less the mean of the shots, scaled to length 1.

    Source: Wang et al. 2019, SimpleShot (CL2N).
    """
    import numpy as np

    centre = data.shots.mean(0, dtype=np.float64)
    shots, tests = _unit(data.shots - centre), _unit(data.tests - centre)
    names = sorted(set(data.answers))
    of_class = np.asarray(data.answers)
    means = np.stack([shots[of_class == name].mean(0) for name in names])
    # |t - m|² without |t|², which is the same for every class
    closeness = 2 * tests @ means.T - (means**2).sum(1)
    how = "features less the mean of the shots, scaled to length 1; Euclidean distance"
    return Fitted(_best(closeness, names, data.offered), how)


def linear_probe(data: ProbeData, seed: int) -> Fitted:
    """Logistic regression on standardised features; C by cross-validation on the shots alone."""
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=WITHOUT_CV, max_iter=ITERATIONS)
    probe = make_pipeline(StandardScaler(), regression)
    folds = min(FOLDS, min(Counter(data.answers).values()))
    shots, answers = data.shots.astype(np.float64), np.asarray(data.answers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # told in words below
        if folds < 2:
            probe.fit(shots, answers)
            how = f"C = {WITHOUT_CV:g}, as a class has one shot and none can be held out"
        else:
            split = StratifiedKFold(folds, shuffle=True, random_state=seed)
            grid = {"logisticregression__C": STRENGTHS}  # of equal ones the first, the smallest C
            search = GridSearchCV(probe, grid, scoring="accuracy", cv=split).fit(shots, answers)
            probe = search.best_estimator_
            strength = search.best_params_["logisticregression__C"]
            how = f"C = {strength:g}, by {folds}-fold cross-validation on the shots"
    if max(probe[-1].n_iter_) >= ITERATIONS:
        how += f"; not converged after {ITERATIONS} iterations"
    scores = probe.decision_function(data.tests.astype(np.float64))
    if scores.ndim == 1:  # of two classes it is the second one's
        scores = np.stack([-scores, scores], 1)
    return Fitted(_best(scores, [str(name) for name in probe.classes_], data.offered), how)


def _unit(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row scaled to length 1; a row of zeros stays."""
    import numpy as np

    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths == 0, 1, lengths)


def _best(
    scores: NDArray[np.float64], names: Sequence[str], offered: Sequence[Sequence[str]]
) -> list[str | None]:
    """For each row the offered name with the highest score. scores: (M, names)."""
    chosen: list[str | None] = []
    for row, answers in zip(scores, offered, strict=True):
        allowed = {*answers}
        left = [(value, name) for value, name in zip(row, names, strict=True) if name in allowed]
        chosen.append(max(left, key=lambda pair: pair[0])[1] if left else None)
    return chosen
