"""The columns of the report's tables: what each is called, which values are good, and what it means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of a table: `goal` is "less", "more", "zero", "one", "truth" for the true photos' value, "" for none."""

    key: str
    title: str
    goal: str
    digits: int
    meaning: str


#: Of the networks that look at photos: the same figure of the true photos beside themselves is 0, or 1 of agreement.
_THROUGH_NETWORKS = (
    Metric("fid", "FID", "less", 2, "Fréchet distance in the features of torchvision's Inception-v3"),
    Metric("kid", "KID", "less", 4, "kernel distance in the same features; about 0 for equal sets"),
    Metric("frechet_distance_vgg16", "FD, VGG-16", "less", 2, "Fréchet distance in the features of VGG-16"),
    Metric("kernel_distance_vgg16", "KD, VGG-16", "less", 4, "kernel distance in the features of VGG-16"),
    Metric("lpips_alexnet", "LPIPS", "less", 3, "learned perceptual distance to the true photo, AlexNet"),
    Metric("lpips_vgg16", "LPIPS, VGG", "less", 3, "learned perceptual distance to the true photo, VGG-16"),
    Metric("class_agreement", "same class", "more", 3, "share of photos in which VGG-16 sees the same as in truth"),
    Metric(
        "random_feature_distance",
        "RFD",
        "less",
        4,
        "Fréchet distance in the features of a fixed random network: no FID",
    ),
)
METRICS = (
    Metric("ab_error_rebalanced", "rebalanced ab error", "less", 2, "distance in ab, rare colours weigh more"),
    Metric("wins", "wins", "more", 2, "share of the test photos on which it has the best primary metric of all rows"),
    Metric("ab_rmse", "ab RMSE", "less", 2, "root mean square over pixels and both channels, CIELAB units"),
    Metric("ciede2000_mean", "ΔE2000", "less", 2, "perceived difference CIEDE2000, mean over pixels"),
    Metric("ciede2000_p95", "ΔE2000 p95", "less", 2, "perceived difference CIEDE2000, 95th percentile of the pixels"),
    Metric("psnr", "PSNR", "more", 2, "dB, on RGB, with the photo's own L"),
    Metric("ssim", "SSIM", "more", 4, "7×7 uniform window on RGB, with the photo's own L"),
    Metric("colorfulness_error", "CF error", "less", 2, "mean over photos of |colourfulness - true colourfulness|"),
    Metric("colorfulness_difference", "ΔCF", "less", 2, "|mean colourfulness - mean true colourfulness|"),
    Metric("colorfulness", "CF", "truth", 1, "colourfulness after Hasler & Süsstrunk; best is nearest the truth"),
    Metric("colorfulness_absolute", "CF abs", "truth", 1, "the variant with absolute opponents (DDColor, CT2)"),
    Metric("auc", "AuC", "more", 3, "area under the curve of pixels within 0…150 units of ab, plain"),
    Metric(
        "auc_rebalanced", "AuC, rebalanced", "more", 3, "the same, pixels weighed by ImageNet's rarity of their colour"
    ),
    Metric("psnr_own_l", "PSNR, own L", "more", 2, "dB, with the L the network draws itself"),
    Metric("ssim_own_l", "SSIM, own L", "more", 4, "with the L the network draws itself"),
    Metric("top_bin_accuracy", "top bin", "more", 3, "of a classifier: share of places whose first choice is right"),
    Metric("diversity", "diversity", "", 2, "of a network that draws: distance in ab of two draws; noise has it too"),
    *_THROUGH_NETWORKS,
)

ARTEFACTS = (
    Metric("bias_a", "bias a", "zero", 2, "mean shift towards red (+) or green (-), CIELAB units"),
    Metric("bias_b", "bias b", "zero", 2, "mean shift towards yellow (+) or blue (-), CIELAB units"),
    Metric(
        "false_blue_rate", "false blue", "less", 3, "share of the pixels that are not blue in truth and were painted so"
    ),
    Metric(
        "hue_divergence", "hue divergence", "less", 3, "Jensen-Shannon divergence of the hues, bits, mean over photos"
    ),
    Metric(
        "border_ratio", "border", "one", 2, "ab error of the outer 8 % over the rest, as shares of the mean colour's"
    ),
    Metric("sharpness_ab", "sharpness, ab", "one", 2, "steepest edges of colour (95th percentile) over the true ones"),
    Metric(
        "edge_alignment", "edge alignment", "truth", 2, "correlation of the edges of colour and lightness: bleeding"
    ),
    Metric("checkerboard", "checkerboard", "less", 2, "decades by which the frequencies of strides stick out of ab"),
    Metric("sharpness_own_l", "sharpness, own L", "one", 2, "the same of the L the network draws itself"),
)
