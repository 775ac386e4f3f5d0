//! Boxes: scores above a threshold, and of boxes of one class that overlap only the best.

use inferd_core::manifest::Boxes;
use inferd_core::prediction::{Detection, MAX_BOXES};

/// The most candidates that are compared with one another. A model that is sure of everything everywhere would make
/// the comparison quadratic in its anchors; the best of them are enough to fill [`MAX_BOXES`].
const MAX_CANDIDATES: usize = 4_096;

/// Finds boxes in `corners` (`[N, 4]`: left, top, right, bottom) and `scores` (`[N, C]`), best score first, at most
/// [`MAX_BOXES`]. Areas are in the tensor's own parts of width and height, cut off at its edges.
pub(super) fn find(settings: &Boxes, corners: &[f32], scores: &[f32]) -> Vec<Detection> {
    let candidates = candidates(settings, corners, scores);
    let mut kept: Vec<Detection> = Vec::new();
    for candidate in candidates {
        let covered = |other: &Detection| {
            other.class == candidate.class && overlap(&other.area, &candidate.area) > settings.max_overlap
        };
        if !kept.iter().any(covered) {
            kept.push(candidate);
        }
        if kept.len() == MAX_BOXES {
            break;
        }
    }
    for found in &mut kept {
        found.area = found.area.map(|edge| edge.clamp(0.0, 1.0));
        found.score = found.score.clamp(0.0, 1.0);
    }
    kept
}

fn candidates(settings: &Boxes, corners: &[f32], scores: &[f32]) -> Vec<Detection> {
    let (areas, _) = corners.as_chunks::<4>();
    let classes = scores.len().checked_div(areas.len()).unwrap_or(0).max(1);
    let mut found = Vec::new();
    for (area, scores) in areas.iter().zip(scores.chunks_exact(classes)) {
        for (class, &score) in (0_u32..).zip(scores) {
            if score >= settings.min_score && settings.background != Some(class) {
                found.push(Detection { class, score, area: *area });
            }
        }
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(MAX_CANDIDATES);
    found
}

/// Intersection over union of two areas; 0 where either is empty.
fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let size = |area: &[f32; 4]| (area[2] - area[0]).max(0.0) * (area[3] - area[1]).max(0.0);
    let common = [a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])];
    let shared = size(&common);
    let union = size(a) + size(b) - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}
