//! A product of two square f32 matrices, as layers of networks are.

/// Two matrices and what comes of them, row by row.
pub(super) struct Product {
    size: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    out: Vec<f32>,
}

impl Product {
    /// Of matrices of `size` rows and columns.
    pub(super) fn new(size: usize) -> Self {
        let values = |step: usize| (0..size * size).map(|at| (at * step % 7) as f32 - 3.0).collect();
        Self { size, a: values(3), b: values(5), out: vec![0.0; size * size] }
    }

    /// out = a·b, by this thread alone.
    pub(super) fn run(&mut self) {
        let Self { size, a, b, out } = self;
        let (size, stride) = (*size, *size as isize);
        // SAFETY: all three hold `size` rows of `size` values, and `out` is borrowed mutably, so it overlaps neither of the others.
        unsafe {
            gemm::gemm(
                size,
                size,
                size,
                out.as_mut_ptr(),
                1,
                stride,
                false,
                a.as_ptr(),
                1,
                stride,
                b.as_ptr(),
                1,
                stride,
                0.0f32,
                1.0f32,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
        std::hint::black_box(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_is_that_of_the_definition() {
        let mut product = Product::new(5);
        product.run();
        for row in 0..5 {
            for column in 0..5 {
                let wanted: f32 = (0..5).map(|at| product.a[row * 5 + at] * product.b[at * 5 + column]).sum();
                assert_eq!(product.out[row * 5 + column], wanted, "{row}, {column}");
            }
        }
    }
}
