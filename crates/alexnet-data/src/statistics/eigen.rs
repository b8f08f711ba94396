//! Eigenvalues and eigenvectors of a symmetric 3x3 matrix.

type Matrix = [[f64; 3]; 3];

/// Eigenvalues in descending order and the unit eigenvectors in the same order, each with its component of largest
/// magnitude positive. Jacobi's method (Golub & Van Loan, *Matrix Computations*, section 8.5), which is as accurate as
/// the matrix allows and converges in a few sweeps.
pub(super) fn symmetric(mut a: Matrix) -> ([f64; 3], Matrix) {
    // The rows converge to the eigenvectors.
    let mut v = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for _sweep in 0..32 {
        let off_diagonal = a[0][1].abs() + a[0][2].abs() + a[1][2].abs();
        let diagonal = a[0][0].abs() + a[1][1].abs() + a[2][2].abs();
        if off_diagonal <= f64::EPSILON * f64::EPSILON * diagonal {
            break;
        }
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if a[p][q] == 0.0 {
                continue;
            }
            // The rotation that makes a[p][q] zero; of the two solutions, the one with the smaller angle.
            let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
            let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
            let c = 1.0 / (t * t + 1.0).sqrt();
            let s = t * c;
            for row in &mut a {
                (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
            }
            for k in 0..3 {
                (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]);
                (v[p][k], v[q][k]) = (c * v[p][k] - s * v[q][k], s * v[p][k] + c * v[q][k]);
            }
        }
    }
    let mut order = [0, 1, 2];
    order.sort_by(|&i, &j| a[j][j].total_cmp(&a[i][i]));
    (order.map(|i| a[i][i]), order.map(|i| with_positive_peak(v[i])))
}

fn with_positive_peak(vector: [f64; 3]) -> [f64; 3] {
    let peak = vector.into_iter().fold(0.0_f64, |peak, value| if value.abs() > peak.abs() { value } else { peak });
    if peak < 0.0 { vector.map(|value| -value) } else { vector }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_decompositions() {
        let (values, vectors) = symmetric([[1.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 2.0]]);
        assert_eq!((values, vectors), ([3.0, 2.0, 1.0], [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]));
        assert_eq!(symmetric([[0.0; 3]; 3]).0, [0.0; 3]);
        // 2 on the diagonal, 1 elsewhere: eigenvalue 4 with the direction (1, 1, 1), and 1 twice.
        let (values, vectors) = symmetric([[2.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 1.0, 2.0]]);
        for (value, expected) in values.into_iter().zip([4.0, 1.0, 1.0]) {
            assert!((value - expected).abs() < 1e-14, "{values:?}");
        }
        assert!(vectors[0].iter().all(|v| (v - 1.0 / 3.0_f64.sqrt()).abs() < 1e-14), "{vectors:?}");
    }

    #[test]
    fn vectors_solve_the_eigenvalue_equation() {
        // Approximately the covariance of ImageNet's colors.
        let a = [[5498.0, 4760.0, 4320.0], [4760.0, 5190.0, 4900.0], [4320.0, 4900.0, 5910.0]];
        let (values, vectors) = symmetric(a);
        assert!(values.is_sorted_by(|x, y| x >= y));
        for (i, (value, vector)) in values.iter().zip(&vectors).enumerate() {
            for (row, component) in a.iter().zip(vector) {
                let product: f64 = row.iter().zip(vector).map(|(x, y)| x * y).sum();
                assert!((product - value * component).abs() < 1e-9, "{product} {value} {component}");
            }
            for (j, other) in vectors.iter().enumerate() {
                let dot: f64 = vector.iter().zip(other).map(|(x, y)| x * y).sum();
                assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-14);
            }
            let peak = vector.iter().copied().fold(0.0_f64, |p, x| if x.abs() > p.abs() { x } else { p });
            assert!(peak > 0.0);
        }
    }
}
