#ifndef POUND_ADDON_TABLE_CALL_H
#define POUND_ADDON_TABLE_CALL_H

#include <napi.h>

#include <cstdint>

#include "access_call.h"
#include "environment.h"
#include "kvm/page_table.h"
#include "policy.h"

namespace pound::addon {

/** The result of an access that takes the slow path: NOT_MADE of lib/native/call-block.ts. */
constexpr uint32_t NOT_MADE = 4;

/** @param entries The number of entries that accesses may use. */
inline kvm::memory::guest_page_table_t as_page_table(const Environment::Table& table,
                                                     uint32_t entries) {
    return {table.reads,
            table.writes,
            entries,
            table.shift,
            {table.home.base, table.home.size},
            table.marks,
            table.marked_pages,
            table.fetches};
}

/** Makes an access under a policy. Returns false if it takes the slow path. */
template <typename Policy, typename Access>
bool access_table_under(Policy policy, const Environment::Table& entry, uint32_t entries,
                        CallBlock* block, Access run) {
    const kvm::memory::guest_page_table_t table = as_page_table(entry, entries);
    return run(policy, &table, block);
}

/** As access_table_under(), for a table that may have another policy than the default. */
template <typename Access>
[[gnu::noinline]] bool access_table_again(const Environment::Table& entry, CallBlock* block,
                                          Access run) {
    switch (entry.policy) {
    case 0:
        return false;
    case 1:
        return access_table_under(policy_t<1>(), entry, entry.policy_entries, block, run);
    case 2:
        return access_table_under(policy_t<2>(), entry, entry.policy_entries, block, run);
    default:
        return access_table_under(policy_t<3>(), entry, entry.policy_entries, block, run);
    }
}

/**
 * Makes an access through the page table that the call block names.
 *
 * @param run Makes the access, and returns false if it takes the slow path:
 * bool (access policy, const guest_page_table_t*, CallBlock*).
 */
template <typename Access>
napi_value access_table(Environment* environment, Access run) {
    CallBlock* block = environment->call_block();
    const Environment::Table& entry = environment->tables().at(block->memory());
    // A table with another policy has no entries for this attempt. So the accesses under the
    // default policy need no check of the policy.
    const bool made = likely(access_table_under(policy_t<0>(), entry, entry.entries, block, run)) ||
                      access_table_again(entry, block, run);
    block->set_result(made ? uint32_t{kvm::memory::GUEST_MEM_ACCESS_OK} : NOT_MADE);
    return nullptr;
}

/** Stores what `read` reads in the call block, if it returns true: bool (T*). */
template <typename T, typename Read>
bool read_to(CallBlock* block, Read read) {
    T value;
    const bool made = read(&value);
    if (made) {
        block->set_value(value);
    }
    return made;
}

template <typename Access>
[[gnu::noinline]] napi_value call_elsewhere(napi_env env, napi_callback_info info, Access run) {
    Environment* environment = Environment::find(env);
    return run(environment == nullptr ? environment_of_call(env, info) : environment);
}

/** Calls `run` with the environment of a call: napi_value (Environment*). */
template <typename Access>
napi_value in_environment(napi_env env, napi_callback_info info, Access run) {
    Environment& first = Environment::first();
    return likely(first.belongs_to(env)) ? run(&first) : call_elsewhere(env, info, run);
}

} // namespace pound::addon

#endif // POUND_ADDON_TABLE_CALL_H
