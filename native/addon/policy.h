#ifndef POUND_ADDON_POLICY_H
#define POUND_ADDON_POLICY_H

#include <cstdint>

#include "kvm/guest.h"

namespace pound::addon {

/** The bits of the number of an access policy: `policyNumber` of lib/base/policy.ts. */
constexpr uint32_t POLICY_ALLOW_UNALIGNED = 1;
constexpr uint32_t POLICY_BIG_ENDIAN = 2;

/** The number of access policies. */
constexpr uint32_t POLICIES = 4;

/** The access policy with a number below POLICIES. */
template <uint32_t number>
using policy_t = kvm::memory::access_policy_t<
    (number & POLICY_ALLOW_UNALIGNED) != 0 ? kvm::memory::alignment_t::allow
                                           : kvm::memory::alignment_t::fault,
    (number & POLICY_BIG_ENDIAN) != 0 ? kvm::endian_t::big : kvm::endian_t::little>;

} // namespace pound::addon

#endif // POUND_ADDON_POLICY_H
