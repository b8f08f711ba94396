//! Plain loops in place of a convolution library.

use half::bf16;

use crate::cuda::{Address, Convolution, Pass, Real, Sizes};

fn read(real: Real, tensor: Address, index: usize) -> f64 {
    // SAFETY: an index within the tensor, or the access hits the guard page behind it and ends the process.
    unsafe {
        match real {
            Real::F32 => f64::from(*(tensor.at as *const f32).add(index)),
            Real::Bf16 => f64::from(*(tensor.at as *const bf16).add(index)),
        }
    }
}

fn write(real: Real, tensor: Address, values: &[f64]) {
    for (index, &value) in values.iter().enumerate() {
        // SAFETY: as above.
        unsafe {
            match real {
                Real::F32 => *(tensor.at as *mut f32).add(index) = value as f32,
                Real::Bf16 => *(tensor.at as *mut bf16).add(index) = bf16::from_f64(value),
            }
        }
    }
}

pub(super) fn convolve(convolution: &Convolution) {
    let Convolution { pass, real, sizes: s, x, weight, y } = *convolution;
    let Sizes { n, h, w, in_channels, out_channels, kh, kw, oh, ow, stride, padding: [top, left], groups } = s;
    let (group_in, group_out) = (in_channels / groups, out_channels / groups);
    let all = |tensor: Address, len: usize| (0..len).map(|i| read(real, tensor, i)).collect::<Vec<f64>>();
    let lens = [n * h * w * in_channels, out_channels * kh * kw * group_in, n * oh * ow * out_channels];
    let mut values = [(x, Pass::Input), (weight, Pass::Weight), (y, Pass::Forward)].map(|(tensor, result)| {
        let len = lens[match result {
            Pass::Input => 0,
            Pass::Weight => 1,
            Pass::Forward => 2,
        }];
        if pass == result { vec![0.0; len] } else { all(tensor, len) }
    });
    let [xs, ws, ys] = &mut values;
    for pixel in 0..n * oh * ow {
        let (image, i, j) = (pixel / (oh * ow), pixel / ow % oh, pixel % ow);
        for (u, v) in (0..kh).flat_map(|u| (0..kw).map(move |v| (u, v))) {
            let (row, column) = (i * stride + u, j * stride + v);
            if row < top || column < left || row - top >= h || column - left >= w {
                continue;
            }
            let from = ((image * h + row - top) * w + column - left) * in_channels;
            for out in 0..out_channels {
                let first = from + out / group_out * group_in;
                let tap = ((out * kh + u) * kw + v) * group_in;
                let (xs, ws) = (&mut xs[first..first + group_in], &mut ws[tap..tap + group_in]);
                let y = &mut ys[pixel * out_channels + out];
                match pass {
                    Pass::Forward => *y += xs.iter().zip(ws.iter()).map(|(x, w)| x * w).sum::<f64>(),
                    Pass::Input => xs.iter_mut().zip(ws.iter()).for_each(|(x, w)| *x += *y * w),
                    Pass::Weight => ws.iter_mut().zip(xs.iter()).for_each(|(w, x)| *w += *y * x),
                }
            }
        }
    }
    let [xs, ws, ys] = &values;
    match pass {
        Pass::Forward => write(real, y, ys),
        Pass::Input => write(real, x, xs),
        Pass::Weight => write(real, weight, ws),
    }
}
