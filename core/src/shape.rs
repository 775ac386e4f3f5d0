//! The shape of a tensor, small enough to be copied with every message.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The largest rank that is supported.
pub const MAX_RANK: usize = 6;

/// A tensor's extents, outermost first (row-major). Rank 1 to [`MAX_RANK`], every extent at least 1, and the number of
/// elements fits in 32 bits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct Shape {
    dims: [u32; MAX_RANK],
    rank: u8,
}

/// The extents cannot be a tensor's shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no shape: 1 to {MAX_RANK} extents of at least 1 are expected, with fewer than 2^32 elements in all")]
pub struct InvalidShape(Vec<u32>);

impl Shape {
    /// The shape with these extents.
    ///
    /// # Errors
    /// [`InvalidShape`] for a rank of 0 or above [`MAX_RANK`], an extent of 0, or 2^32 elements or more.
    pub fn new(extents: &[u32]) -> Result<Self, InvalidShape> {
        let elements = extents.iter().try_fold(1_u32, |all, &extent| all.checked_mul(extent));
        let rank_fits = (1..=MAX_RANK).contains(&extents.len());
        match elements {
            Some(1..) if rank_fits => {
                let mut dims = [1; MAX_RANK];
                dims[..extents.len()].copy_from_slice(extents);
                let rank = u8::try_from(extents.len()).unwrap_or(0);
                Ok(Self { dims, rank })
            }
            _ => Err(InvalidShape(extents.to_vec())),
        }
    }

    /// The extents, outermost first.
    pub fn extents(&self) -> &[u32] {
        &self.dims[..usize::from(self.rank)]
    }

    /// How many elements a tensor of this shape has.
    pub fn elements(&self) -> usize {
        self.extents().iter().map(|&extent| extent as usize).product()
    }
}

impl TryFrom<Vec<u32>> for Shape {
    type Error = InvalidShape;

    fn try_from(extents: Vec<u32>) -> Result<Self, Self::Error> {
        Self::new(&extents)
    }
}

impl From<Shape> for Vec<u32> {
    fn from(shape: Shape) -> Self {
        shape.extents().to_vec()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.extents())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_without_elements_or_with_too_many_are_refused() {
        for bad in [&[][..], &[0], &[1, 0, 3], &[u32::MAX, 2], &[1; 7]] {
            assert!(Shape::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Shape::new(&[1, 96, 96, 3]).unwrap().elements(), 27_648);
    }
}
