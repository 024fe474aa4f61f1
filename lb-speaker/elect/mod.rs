//! Who owns an address.
