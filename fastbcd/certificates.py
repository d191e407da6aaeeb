"""Bounds that hold for every input of a region: what certificates are, and where they hold."""

from fastbcd.compression.certified import CertifiedChange as CertifiedChange
from fastbcd.estimators.certify import certify as certify
from fastbcd.estimators.certify import certify_difference as certify_difference
from fastbcd.estimators.robust import is_robust as is_robust
from fastbcd.estimators.robust import robust_radius as robust_radius
from fastbcd.inspection.certificates.certificate import Certificate as Certificate
from fastbcd.inspection.certificates.certificate import (
    DifferenceCertificate as DifferenceCertificate,
)
from fastbcd.inspection.certificates.regions import Ball as Ball
from fastbcd.inspection.certificates.regions import Box as Box
from fastbcd.inspection.certificates.regions import Moments as Moments

__all__ = [
    "Ball",
    "Box",
    "Certificate",
    "CertifiedChange",
    "DifferenceCertificate",
    "Moments",
    "certify",
    "certify_difference",
    "is_robust",
    "robust_radius",
]
