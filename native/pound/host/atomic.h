#ifndef POUND_HOST_ATOMIC_H
#define POUND_HOST_ATOMIC_H

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

/*
 * Atomic operations of the host on a plain integer, in host byte order.
 *
 * C++17 has atomic operations only for `std::atomic` objects. The bytes of RAM are not such
 * objects, because the plain accessors and JavaScript's typed arrays use them too. Therefore this
 * file uses the intrinsics of the compilers. They must be lock-free: a lock would not order them
 * against accesses that do not take it.
 */
namespace pound::host::atomic {

#if defined(__GNUC__) || defined(__clang__)

template <typename T>
inline T load(const T* at) {
    static_assert(__atomic_always_lock_free(sizeof(T), nullptr), "no lock-free atomics");
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}

/** Stores `desired` if `*at` equals `expected`. @return The value before. */
template <typename T>
inline T compare_exchange(T* at, T expected, T desired) {
    __atomic_compare_exchange_n(at, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
}

#elif defined(_MSC_VER)

/*
 * All operations use compare-and-exchange, the only intrinsic that this compiler has for every
 * width on every processor. It is a full barrier.
 */
template <typename T>
inline T compare_exchange(T* at, T expected, T desired) {
    if constexpr (sizeof(T) == 1) {
        return static_cast<T>(_InterlockedCompareExchange8(reinterpret_cast<volatile char*>(at),
                                                           static_cast<char>(desired),
                                                           static_cast<char>(expected)));
    } else if constexpr (sizeof(T) == 2) {
        return static_cast<T>(_InterlockedCompareExchange16(reinterpret_cast<volatile short*>(at),
                                                            static_cast<short>(desired),
                                                            static_cast<short>(expected)));
    } else if constexpr (sizeof(T) == 4) {
        return static_cast<T>(_InterlockedCompareExchange(reinterpret_cast<volatile long*>(at),
                                                          static_cast<long>(desired),
                                                          static_cast<long>(expected)));
    } else {
        return static_cast<T>(_InterlockedCompareExchange64(reinterpret_cast<volatile __int64*>(at),
                                                            static_cast<__int64>(desired),
                                                            static_cast<__int64>(expected)));
    }
}

template <typename T>
inline T load(const T* at) {
    // If the value is 0, this writes 0 again, which no other thread can observe.
    return compare_exchange(const_cast<T*>(at), T{0}, T{0});
}

#else
#error "pound: the compiler's atomic operations are unknown; teach host/atomic.h this compiler"
#endif

/** `*at = change(*at)`. @return The value before. */
template <typename T, typename Change>
inline T update(T* at, Change change) {
    T found = load(at);
    for (;;) {
        const T before = compare_exchange(at, found, static_cast<T>(change(found)));
        if (before == found) {
            return before;
        }
        found = before;
    }
}

#if defined(__GNUC__) || defined(__clang__)

template <typename T>
inline void store(T* at, T val) {
    __atomic_store_n(at, val, __ATOMIC_SEQ_CST);
}

template <typename T>
inline T exchange(T* at, T val) {
    return __atomic_exchange_n(at, val, __ATOMIC_SEQ_CST);
}

template <typename T>
inline T fetch_add(T* at, T val) {
    return __atomic_fetch_add(at, val, __ATOMIC_SEQ_CST);
}

#else

template <typename T>
inline T exchange(T* at, T val) {
    return update(at, [val](T) { return val; });
}

template <typename T>
inline void store(T* at, T val) {
    exchange(at, val);
}

template <typename T>
inline T fetch_add(T* at, T val) {
    return update(at, [val](T found) { return found + val; });
}

#endif

#if defined(__clang__) || (defined(__GNUC__) && defined(__aarch64__))

template <typename T>
inline T fetch_and(T* at, T val) {
    return __atomic_fetch_and(at, val, __ATOMIC_SEQ_CST);
}

template <typename T>
inline T fetch_or(T* at, T val) {
    return __atomic_fetch_or(at, val, __ATOMIC_SEQ_CST);
}

template <typename T>
inline T fetch_xor(T* at, T val) {
    return __atomic_fetch_xor(at, val, __ATOMIC_SEQ_CST);
}

#else

// GCC compiles `x = __atomic_fetch_and(at, x, …)` as `x = *at` where the processor has no
// instruction for the operation: it stores the result in the register of the operand too early.

template <typename T>
inline T fetch_and(T* at, T val) {
    return update(at, [val](T found) { return found & val; });
}

template <typename T>
inline T fetch_or(T* at, T val) {
    return update(at, [val](T found) { return found | val; });
}

template <typename T>
inline T fetch_xor(T* at, T val) {
    return update(at, [val](T found) { return found ^ val; });
}

#endif

} // namespace pound::host::atomic

#endif // POUND_HOST_ATOMIC_H
