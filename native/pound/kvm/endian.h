#ifndef POUND_KVM_ENDIAN_H
#define POUND_KVM_ENDIAN_H

#include <cstdint>

/**
 * Byte order of the guest and of the host, as 1 (little) or 0 (big). If the host's order is neither
 * or unknown, compilation fails: a missing swap would corrupt every guest value wider than a byte.
 */
#define GUEST_IS_LITTLE_ENDIAN 1

#if defined(__BYTE_ORDER__) && defined(__ORDER_LITTLE_ENDIAN__) &&                                 \
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HOST_IS_LITTLE_ENDIAN 1
#elif defined(__BYTE_ORDER__) && defined(__ORDER_BIG_ENDIAN__) &&                                  \
    __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define HOST_IS_LITTLE_ENDIAN 0
#elif defined(_MSC_VER) && (defined(_M_IX86) || defined(_M_X64) || defined(_M_ARM64))
#define HOST_IS_LITTLE_ENDIAN 1
#else
#error "pound: the host's byte order is unknown; teach kvm/endian.h this compiler"
#endif

namespace pound::kvm {

/** Reverses the bytes of a value. Compilers turn each overload into one instruction. */
constexpr uint8_t bswap(uint8_t value) {
    return value;
}

constexpr uint16_t bswap(uint16_t value) {
    return static_cast<uint16_t>((value >> 8) | (value << 8));
}

constexpr uint32_t bswap(uint32_t value) {
    return (static_cast<uint32_t>(bswap(static_cast<uint16_t>(value))) << 16) |
           bswap(static_cast<uint16_t>(value >> 16));
}

constexpr uint64_t bswap(uint64_t value) {
    return (static_cast<uint64_t>(bswap(static_cast<uint32_t>(value))) << 32) |
           bswap(static_cast<uint32_t>(value >> 32));
}

/** A byte order of values in guest RAM. */
enum class endian_t { little, big };

/** The byte order of the accessors without an access policy. */
constexpr endian_t GUEST_ENDIAN = GUEST_IS_LITTLE_ENDIAN ? endian_t::little : endian_t::big;

/** Converts between the host's byte order and `endian`; its own inverse. */
template <endian_t endian, typename T>
constexpr T in_order(T value) {
    constexpr endian_t host = HOST_IS_LITTLE_ENDIAN ? endian_t::little : endian_t::big;
    if constexpr (endian == host) {
        return value;
    } else {
        return bswap(value);
    }
}

/** Converts between host and guest byte order; its own inverse. */
template <typename T>
constexpr T guest_order(T value) {
    return in_order<GUEST_ENDIAN>(value);
}

} // namespace pound::kvm

#endif // POUND_KVM_ENDIAN_H
