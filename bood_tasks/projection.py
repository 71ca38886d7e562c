"""Planes in which features are drawn (the paper's Figure 4). One plane serves points, paths and
outliers alike: make it once, project each."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from sklearn.decomposition import PCA

SOLVER = "covariance_eigh"  # exact and without random numbers; scikit-learn fixes the signs


@dataclass(frozen=True)
class Plane:
    """Two orthonormal directions and the point that is drawn at (0, 0).

    `sides`, if any, compare classes: of p = project(z), the class with the largest p · side is
    the one of these classes whose anchor has the largest cosine with z.
    """

    axes: Float[ndarray, "2 d"]
    origin: Float[ndarray, " d"]
    sides: Float[ndarray, "v 2"] | None


def principal_plane(features: Float[ndarray, "n d"]) -> Plane:
    """Return the plane of the two principal components of the features, any number of classes.

    No `sides`: a feature lies off this plane, so its class does not follow from its place in it.
    """
    found = PCA(2, svd_solver=SOLVER).fit(features)
    return Plane(found.components_, found.mean_, sides=None)


def comparison_plane(anchors: Float[ndarray, "v d"], features: Float[ndarray, "n d"]) -> Plane:
    """Return the plane in which two or three classes are told apart exactly.

    The cosine classifier (Eq. 2) compares classes i and j by z · (Â_i - Â_j), Â unit anchors: a
    linear function that only the part of z along Â_i - Â_j changes. Three anchors differ in two
    directions, the plane. Two differ in one, the first axis: z's signed distance to their
    boundary; the second is the first principal component of `features` without that direction
    (otherwise `features` are not looked at). So each point has its class's side whatever its
    distance from the plane, among these classes: the whole classifier may prefer another one.
    """
    if len(anchors) not in (2, 3):
        raise ValueError(
            f"anchors must be of 2 or 3 classes, got {len(anchors)}; "
            "the principal plane shows any number"
        )
    unit = anchors / np.linalg.norm(anchors, axis=1, keepdims=True)
    directions = unit[1:] - unit[0]
    if len(anchors) == 2:
        first = directions[0] / np.linalg.norm(directions)
        rest = features - np.outer(features @ first, first)
        second = PCA(1, svd_solver=SOLVER).fit(rest).components_
        directions = np.concatenate([directions, second])
    columns, triangle = np.linalg.qr(directions.T)
    axes = (columns * np.sign(np.diagonal(triangle))).T  # QR leaves the signs open
    return Plane(axes, np.zeros(anchors.shape[1]), sides=unit @ axes.T)


def project(z: Float[ndarray, "n d"], plane: Plane) -> Float[ndarray, "n 2"]:
    """Return the coordinates of each row in the plane, lengths kept."""
    return (z - plane.origin) @ plane.axes.T
