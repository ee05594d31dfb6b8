//! The bits that tell which ReLUs were open: written going forward, read going back.

/// Which bit of the `bytes` that stand at every row and column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bit {
    pub(super) bytes: usize,
    pub(super) byte: usize,
    pub(super) place: u32,
}

/// output += mass·relu(z + bias) for every row, and the bit of `open` where the ReLU is open.
#[inline(always)]
pub(super) fn add_open(output: &mut [f32], open: &mut [u8], z: &[f32], bias: &[f32], mass: f32, bit: Bit) {
    let width = bias.len();
    let rows = output.chunks_exact_mut(width).zip(open.chunks_exact_mut(width * bit.bytes));
    for ((output, open), z) in rows.zip(z.chunks_exact(width)) {
        // One byte is the rule, and the only case that the compiler vectorises.
        match bit.bytes {
            1 => add_open_row(output, open.iter_mut(), z, bias, mass, bit.place),
            n => add_open_row(output, open.iter_mut().skip(bit.byte).step_by(n), z, bias, mass, bit.place),
        }
    }
}

#[inline(always)]
fn add_open_row<'a>(
    output: &mut [f32],
    open: impl Iterator<Item = &'a mut u8>,
    z: &[f32],
    bias: &[f32],
    mass: f32,
    place: u32,
) {
    for (((output, open), z), bias) in output.iter_mut().zip(open).zip(z).zip(bias) {
        let z = z + bias;
        // A NaN is passed on: a diverged training must show.
        *output += if z <= 0.0 { 0.0 } else { mass * z };
        *open |= u8::from(z > 0.0) << place;
    }
}

/// d = shares ⊙ gradient where the bit of `open` is set, else 0; and the sums over the rows.
#[inline(always)]
pub(super) fn where_open(
    d: &mut [f32],
    sums: &mut [f32],
    gradient: &[f32],
    open: &[u8],
    shares: &[f32],
    bit: Bit,
) {
    let width = shares.len();
    let rows = d.chunks_exact_mut(width).zip(gradient.chunks_exact(width));
    for ((d, gradient), open) in rows.zip(open.chunks_exact(width * bit.bytes)) {
        match bit.bytes {
            1 => where_open_row(d, sums, gradient, open.iter(), shares, bit.place),
            n => where_open_row(d, sums, gradient, open.iter().skip(bit.byte).step_by(n), shares, bit.place),
        }
    }
}

#[inline(always)]
fn where_open_row<'a>(
    d: &mut [f32],
    sums: &mut [f32],
    gradient: &[f32],
    open: impl Iterator<Item = &'a u8>,
    shares: &[f32],
    place: u32,
) {
    for ((((d, gradient), open), share), sum) in d.iter_mut().zip(gradient).zip(open).zip(shares).zip(sums) {
        *d = if open & (1 << place) != 0 { share * gradient } else { 0.0 };
        *sum += *d;
    }
}
