use super::*;
use crate::cases::*;

#[test]
fn parts_join_as_candle_joins_them_and_come_apart_again() {
    for_each_backend(|_| {
        let part = |width| tensor(&uniform("concat", width, 60 * width as usize), &[3, 4, 5, width as usize]);
        let parts = [3, 17, 1].map(part);
        let y = zeros(&[3, 4, 5, 21]);
        forward_into(&[&parts[0], &parts[1], &parts[2]], &y).unwrap();
        let joined = values(&y);
        assert_same_bits("joined", &joined, &values(&Tensor::cat(&parts, 3).unwrap()));
        let all = parts.each_ref().map(values);
        assert_same_bits("reference", &joined, &reference::forward(&all.each_ref().map(Vec::as_slice), 60));
        let mut first = 0;
        for part in &parts {
            let grad = part.zeros_like().unwrap();
            backward_into(&y, first, &grad).unwrap();
            assert_same_bits("part", &values(&grad), &values(part));
            assert_same_bits("reference", &values(&grad), &reference::backward(&joined, 60, first, width(part)));
            first += width(part);
        }
    });
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let message = |x: &[usize], y: &[usize]| forward_into(&[&zeros(x)], &zeros(y)).unwrap_err().to_string();
    assert!(message(&[2, 3], &[2, 4]).contains("as wide as all inputs together, 3"));
    assert!(message(&[3, 4], &[2, 4]).contains("[2, 4] except for the last dimension"));
    assert!(backward_into(&zeros(&[2, 4]), 2, &zeros(&[2, 3])).unwrap_err().to_string().contains("at most 2 wide"));
}
