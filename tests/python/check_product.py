"""numpy computes the photonic product that alora computes, and the statistics of its noise.

Usage: check_product.py EXAMPLES_FOLDER, where cargo put the example `photonic_product`. Needs numpy.

    x' = s_x round(x / s_x)     s_x = r_x / (2^(m-1) - 1)       input converter
    W' = s_w round(W / s_w)     s_w = r_w / (2^(n-1) - 1)       weight converter
    z  = (W' + dW) x'                                           for each tile
    y  = sum over tiles of s_z round(z / s_z)                   output converter, digital sum

(Taniguchi et al., OECC/PSC 2025). Rounding is to the nearest, ties to even.
"""

import itertools
import math
import pathlib
import sys
import tempfile

import numpy as np

from oracle import check, closing_line, run

# Rounding of f32, with room for a few operations in a row.
EPSILON = 4e-7
# Of a normal number this far off, there is one in 1.7 million: seeds are fixed, so a check that passes once passes.
STANDARD_ERRORS = 5
TILE = (16, 16)


def product(program, folder, weight, x, *, bits, scaling="matrix", ranges=("vector", "vector"), **of_product):
    """`y` [draws, rows, out] and the weights as represented [out, in], by alora. `bits` of weights, inputs and outputs."""
    settings = {"tile": list(TILE), "sigma": 0.0, "sampling": '"per_execution"', "draws": 1, "seed": 0} | of_product
    text = "[precision]\n" + "".join(
        f"{name}_bits = {count}\n" for name, count in zip(("weight", "input", "output"), bits)
    )
    text += f'[mapping]\nscaling = "{scaling}"\ninput_range = "{ranges[0]}"\noutput_range = "{ranges[1]}"\n'
    text += "[product]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())
    paths = [folder / name for name in ("settings.toml", "input.npz", "output.npz")]
    paths[0].write_text(text)
    np.savez(paths[1], weight=np.float32(weight), x=np.float32(x))
    run(program, *paths)
    with np.load(paths[2]) as output:
        return output["y"].astype(np.float64), output["represented"]


def max_code(bits):
    return 2 ** (bits - 1) - 1


def blocks(length, size):
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def full_scales(weight, scaling):
    """Full scale of every weight, [out, in]."""
    scales = np.empty_like(weight)
    if scaling == "matrix":
        scales[:] = np.abs(weight).max()
    elif scaling == "row":
        scales[:] = np.abs(weight).max(axis=1, keepdims=True)
    else:
        for rows, cols in itertools.product(blocks(weight.shape[0], TILE[0]), blocks(weight.shape[1], TILE[1])):
            scales[rows, cols] = np.abs(weight[rows, cols]).max()
    return scales


def represented(weight, scaling, bits):
    scales = full_scales(weight, scaling)
    safe = np.where(scales > 0, scales, 1)
    return scales * np.rint(weight / safe * max_code(bits)) / max_code(bits)


def sent(x, bits, kind):
    """`x` [rows, columns of one block] after the input converter."""
    largest = np.abs(x).max(axis=1, keepdims=True) if kind == "vector" else np.abs(x).max()
    step = largest / max_code(bits)
    return step * np.rint(x / np.where(step > 0, step, 1))


def received(z, bits, kind):
    """Outputs `z` [rows, outputs of one tile] after the output converter, and how far off f32 may take them."""
    largest = np.abs(z).max(axis=1, keepdims=True) if kind == "vector" else np.abs(z).max()
    step = largest / max_code(bits)
    ratio = z / np.where(step > 0, step, 1)
    # In f32 a number next to a tie may take the other code.
    tie = np.abs(np.abs(ratio - np.trunc(ratio)) - 0.5) < EPSILON * max_code(bits)
    return step * np.rint(ratio), np.where(tie, step, 0) + EPSILON * np.abs(z)


def expected_product(weight, x, bits, scaling, ranges):
    """`y` by the formulas, and how far off f32 may take it."""
    weight_bits, input_bits, output_bits = bits
    held, scales = represented(weight, scaling, weight_bits), full_scales(weight, scaling)
    safe = np.where(scales > 0, scales, 1)
    y, slack = np.zeros((len(x), len(weight))), np.zeros((len(x), len(weight)))
    for cols, rows in itertools.product(blocks(weight.shape[1], TILE[1]), blocks(weight.shape[0], TILE[0])):
        # The chip works in units of full scale; all weights of a row in a tile share theirs.
        chip = held[rows, cols] / safe[rows, cols]
        z, off = received(sent(x[:, cols], input_bits, ranges[0]) @ chip.T, output_bits, ranges[1])
        scale = scales[rows, cols.start]
        y[:, rows] += scale * z
        slack[:, rows] += scale * off + EPSILON * np.abs(y[:, rows])
    return y, slack


def away_from_ties(rng, shape, bits, kind):
    """Random inputs whose codes do not depend on how f32 rounds."""
    x = rng.uniform(-1, 1, shape).astype(np.float32).astype(np.float64)
    for cols in blocks(shape[1], TILE[1]):
        block = x[:, cols]
        largest = np.abs(block).max(axis=1, keepdims=True) if kind == "vector" else np.abs(block).max()
        ratio = block / (largest / max_code(bits))
        near = np.abs(np.abs(ratio - np.trunc(ratio)) - 0.5) < 1e-4
        block[near] = 0
    return x


def outlier_weights(rng, shape):
    """Weights with rows of different sizes, an outlier and a row of zeros."""
    weight = rng.standard_normal(shape) * rng.uniform(0.2, 3, (shape[0], 1))
    weight[3, 5] = 20
    weight[7] = 0
    return weight.astype(np.float32).astype(np.float64)


def check_quantiser(program, folder):
    # 2 bits have the codes -1, 0, 1 and the step 1: halves are ties exactly.
    weight = np.array([[1, 0.5, -0.5, 0.75, -0.51, 0.49, 0, -1]])
    _, held = product(program, folder, weight, np.ones((1, 8)), bits=(2, 8, 8))
    check("ties of weights go to the even code", np.array_equal(held, [[1, 0, 0, 1, -1, 0, 0, -1]]), f"{held[0]}")
    # The step is 1 where the largest is 127, in f32 too; the only weight is 1 and its code the largest.
    x = np.array([[127, 0, 0], [0.5, 127, 0], [1.5, 0, 127], [-2.5, -127, 0], [126.5, 127, 3], [0.501, 127, 1]])
    y, _ = product(program, folder, np.array([[1.0, 0, 0]]), x, bits=(8, 8, 8))
    check("ties of inputs go to the even code", np.allclose(y[0, :, 0], [127, 0, 2, -2, 126, 1], atol=0, rtol=EPSILON),
          f"{y[0, :, 0]}")
    weight = outlier_weights(np.random.default_rng(1), (40, 37))
    for scaling, bits in itertools.product(("matrix", "tile", "row"), (16, 8, 6, 4)):
        _, held = product(program, folder, weight, np.ones((1, 37)), bits=(bits, 8, 8), scaling=scaling)
        off = np.abs(held - represented(weight, scaling, bits)).max() / np.abs(weight).max()
        # The same arithmetic in f64, in another order.
        check(f"weights of {bits} bits, one scale a {scaling}", off < 1e-12, f"{off:.1e}")


def check_without_noise(program, folder):
    rng = np.random.default_rng(2)
    weight = outlier_weights(rng, (70, 53))
    kinds = ("vector", "batch")
    for bits, ranges in itertools.product(((8, 8, 8), (6, 6, 6), (4, 4, 4), (8, 6, 4)), itertools.product(kinds, kinds)):
        scaling = ("matrix", "tile", "row")[(bits[0] + len(ranges[0] + ranges[1])) % 3]
        x = away_from_ties(rng, (45, 53), bits[1], ranges[0])
        y, _ = product(program, folder, weight, x, bits=bits, scaling=scaling, ranges=ranges)
        expected, slack = expected_product(weight, x, bits, scaling, ranges)
        outside = np.abs(y[0] - expected) > slack
        ties = slack > 1e-4 * np.abs(weight).max()
        check(f"{bits} bits, ranges over {' and '.join(ranges)}, one scale a {scaling}", not outside.any(),
              f"{y[0].size} outputs, worst {np.abs(y[0] - expected)[~ties].max():.1e}, {ties.sum()} next to a tie")
        # Sums of a few codes of 4 bits often are ties exactly. Were most of them, nothing would have been compared.
        check("most not next to a tie", ties.mean() < 0.25, f"{ties.mean():.1%}")


def check_moments(what, normal):
    """`normal` are independent standard normal numbers, as far as their moments tell."""
    n, bound = normal.size, STANDARD_ERRORS / math.sqrt(normal.size)
    # Standard errors of normal samples: 1, sqrt 2, sqrt 6, sqrt 24 over sqrt n (Cramer, Mathematical Methods of Statistics, 27.7).
    check(f"{what}: mean", abs(normal.mean()) < bound, f"{normal.mean():.1e}, n = {n}")
    variance = (normal**2).mean()
    check(f"{what}: variance", abs(variance - 1) < math.sqrt(2) * bound, f"{variance:.4f}, allowed 1 +- {1.414 * bound:.4f}")
    skewness, kurtosis = (normal**3).mean() / variance**1.5, (normal**4).mean() / variance**2 - 3
    check(f"{what}: skewness", abs(skewness) < math.sqrt(6) * bound, f"{skewness:.4f}")
    check(f"{what}: excess kurtosis", abs(kurtosis) < math.sqrt(24) * bound, f"{kurtosis:.4f}")


def check_normal(what, normal):
    """Kolmogorov's distance to the normal law. 1.95/sqrt n is exceeded by one sample in 1000 (Smirnov 1948)."""
    ordered = np.sort(normal.ravel())
    law = 0.5 * (1 + np.array([math.erf(value / math.sqrt(2)) for value in ordered]))
    steps = np.arange(ordered.size + 1) / ordered.size
    distance = max((steps[1:] - law).max(), (law - steps[:-1]).max())
    check(f"{what}: normal law", distance < 1.95 / math.sqrt(ordered.size), f"distance {distance:.1e}")


def check_independent(what, samples):
    """The columns of `samples` [n, variables] are not correlated: n times the squared correlations sum to their number."""
    n, variables = samples.shape
    correlations = np.corrcoef(samples, rowvar=False)[np.triu_indices(variables, 1)]
    pairs, total = correlations.size, n * (correlations**2).sum()
    # A chi-squared number of `pairs` degrees of freedom.
    bound = STANDARD_ERRORS * math.sqrt(2 * pairs)
    check(f"{what}: independent", abs(total - pairs) < bound, f"{total:.0f}, expected {pairs} +- {bound:.0f}")


def check_noise(program, folder):
    rng = np.random.default_rng(3)
    draws, rows, sigma = 400, 33, 0.012
    weight = outlier_weights(rng, (40, 37))
    x = away_from_ties(rng, (rows, 37), 8, "vector") * rng.uniform(0.1, 3, (rows, 1))
    x = x.astype(np.float32).astype(np.float64)
    for scaling in ("matrix", "tile", "row"):
        # 16 bits on the way out: steps of 3e-5 of the range are small beside 1.2 %.
        given = dict(bits=(8, 8, 16), scaling=scaling)
        noisy, _ = product(program, folder, weight, x, sigma=sigma, draws=draws, **given)
        plain, _ = product(program, folder, weight, x, **given)
        scales = full_scales(weight, scaling)
        # With dW drawn anew for each vector, dW x' is N(0, sigma^2 |x'|^2) in chip units; tiles add up.
        variance = sum(
            (sent(x[:, cols], 8, "vector") ** 2).sum(axis=1)[:, None] * (sigma * scales[:, cols.start]) ** 2
            for cols in blocks(37, TILE[1])
        )
        live = variance[0] > 0
        normal = ((noisy - plain) / np.sqrt(np.where(variance > 0, variance, 1)))[:, :, live]
        what = f"noise, one scale a {scaling}"
        check(f"{what}: none on a row without weights", not noisy[:, :, ~live].any(), f"{(~live).sum()} rows")
        check_moments(what, normal)
        check_normal(what, normal)
        check_independent(f"{what}, outputs", normal.reshape(-1, normal.shape[2]))
        check_independent(f"{what}, rows", normal.transpose(0, 2, 1).reshape(-1, rows))
        check_independent(f"{what}, draws", normal[:100].reshape(100, -1).T)
    again, _ = product(program, folder, weight, x, sigma=sigma, draws=2, seed=7, bits=(8, 8, 8))
    same, _ = product(program, folder, weight, x, sigma=sigma, draws=2, seed=7, bits=(8, 8, 8))
    check("a seed repeats its draw", np.array_equal(again, same) and not np.array_equal(again[0], again[1]))


def check_noise_through_converters(program, folder):
    """Noise widens the range of the output converter and is rounded by it: compared with draws of numpy's own dW."""
    rng = np.random.default_rng(4)
    draws, sigma = 300, 0.03
    weight = outlier_weights(rng, (32, 37))
    kinds = ("vector", "batch")
    for bits, ranges in itertools.product((8, 6, 4), itertools.product(kinds, kinds)):
        x = away_from_ties(rng, (20, 37), bits, ranges[0])
        noisy, _ = product(program, folder, weight, x, bits=(bits,) * 3, scaling="row", ranges=ranges, sigma=sigma, draws=draws)
        held, scales = represented(weight, "row", bits), full_scales(weight, "row")
        ours = np.zeros((draws, 20, 32))
        for cols, rows in itertools.product(blocks(37, TILE[1]), blocks(32, TILE[0])):
            scale = scales[rows, cols.start]
            chip = held[rows, cols] / np.where(scale > 0, scale, 1)[:, None]
            inputs = sent(x[:, cols], bits, ranges[0])
            for draw in ours:
                error = sigma * rng.standard_normal((20, *chip.shape))
                z = np.einsum("ron,rn->ro", chip + error, inputs)
                draw[:, rows] += scale * received(z, bits, ranges[1])[0]
        live = scales[:, 0] > 0
        noisy, ours = noisy[:, :, live], ours[:, :, live]
        # Differences of means and of log variances of each output, in their standard errors, pooled.
        spread = np.sqrt((noisy.var(axis=0, ddof=1) + ours.var(axis=0, ddof=1)) / draws)
        shift = (noisy.mean(axis=0) - ours.mean(axis=0)) / spread
        # Output converters correlate the outputs of a tile a little; the square of a standard error varies by sqrt 2.
        bound = STANDARD_ERRORS * math.sqrt(2 / shift.size)
        check(f"{bits} bits, ranges over {' and '.join(ranges)}: means as of numpy's draws",
              abs((shift**2).mean() - 1) < 2 * bound, f"{(shift**2).mean():.3f}, allowed 1 +- {2 * bound:.3f}")
        ratio = noisy.var(axis=0, ddof=1).sum() / ours.var(axis=0, ddof=1).sum()
        allowed = STANDARD_ERRORS * spread_of_total(noisy, ours)
        check("the same variance", abs(ratio - 1) < allowed, f"{ratio:.4f}, allowed 1 +- {allowed:.4f}")


def spread_of_total(*samples):
    """Standard error of the ratio of two summed variances, from how the draws' shares of them scatter."""
    relative = 0
    for sample in samples:
        shares = ((sample - sample.mean(axis=0)) ** 2).sum(axis=(1, 2))
        relative += shares.var(ddof=1) / shares.mean() ** 2 / len(sample)
    return math.sqrt(relative)


def check_frozen(program, folder):
    """A frozen error is one dW, seen through unit vectors."""
    rng = np.random.default_rng(5)
    sigma, size = 0.02, 160
    weight = rng.uniform(-1, 1, (size, size)).astype(np.float32)
    # Ranges of 16 bits: of 1 the step is 3e-5.
    given = dict(bits=(16, 16, 16), scaling="matrix", sigma=sigma)
    chips = []
    for seed in (1, 2):
        sampling = "{ frozen = { chip_seed = %d } }" % seed
        y, held = product(program, folder, weight, np.eye(size), sampling=sampling, draws=2, **given)
        check(f"chip {seed} repeats its error", np.array_equal(y[0], y[1]))
        error = (y[0].T - held) / (sigma * np.abs(weight).max())
        check_moments(f"chip {seed}", error)
        chips.append(error.ravel())
    correlation = np.corrcoef(*chips)[0, 1]
    check("two chips differ", abs(correlation) < STANDARD_ERRORS / size, f"correlation {correlation:.4f}")


def main(examples):
    program = pathlib.Path(examples).resolve() / "photonic_product"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        check_quantiser(program, folder)
        check_without_noise(program, folder)
        check_noise(program, folder)
        check_noise_through_converters(program, folder)
        check_frozen(program, folder)
    closing_line()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
