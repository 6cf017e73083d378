#include <napi.h>

#include <cstddef>
#include <memory>

#include "hart.h"
#include "node/guest_handle.h"

using namespace pound::kvm::memory;

namespace {

/** new Hart(handle, state, exit, base, size) */
class HartObject : public Napi::ObjectWrap<HartObject> {
public:
    static Napi::Function define(Napi::Env env) {
        return DefineClass(env, "Hart", {InstanceMethod("run", &HartObject::run)});
    }

    explicit HartObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<HartObject>(info) {
        const Napi::Env env = info.Env();
        const pound_status_t status = pound_space_get(env, info[0], &space_);
        if (status != POUND_OK) {
            space_ = nullptr;
            pound_throw(env, status);
            return;
        }
        pound_space_retain(space_);
        if (!has_words(info[1], STATE_WORDS) ||
            !has_words(info[2], sizeof(guest_exit_t) / sizeof(uint64_t)) || !info[3].IsNumber() ||
            !info[4].IsNumber()) {
            Napi::TypeError::New(env, "state and exit must be BigUint64Arrays of their lengths, "
                                      "base and size numbers")
                .ThrowAsJavaScriptException();
            return;
        }
        state_ = Napi::Persistent(info[1].As<Napi::BigUint64Array>());
        exit_ = Napi::Persistent(info[2].As<Napi::BigUint64Array>());
        const auto base = info[3].As<Napi::Number>().Int64Value();
        const auto size = info[4].As<Napi::Number>().Int64Value();
        hart_ = std::make_unique<Hart>(static_cast<uint64_t>(base), static_cast<uint64_t>(size));
        if (!hart_->usable()) {
            Napi::Error::New(env, "not enough memory").ThrowAsJavaScriptException();
        }
    }

    ~HartObject() override {
        if (space_ != nullptr) {
            pound_space_release(space_);
        }
    }

private:
    static bool has_words(Napi::Value value, std::size_t count) {
        return value.IsTypedArray() &&
               value.As<Napi::TypedArray>().TypedArrayType() == napi_biguint64_array &&
               value.As<Napi::TypedArray>().ElementLength() >= count;
    }

    /** run(end): the result of Hart::run(). */
    Napi::Value run(const Napi::CallbackInfo& info) {
        const auto end = static_cast<uint64_t>(info[0].ToNumber().Int64Value());
        // A buffer that was transferred elsewhere has no words.
        if (!has_words(state_.Value(), STATE_WORDS) || !has_words(exit_.Value(), 32)) {
            Napi::Error::New(info.Env(), "the state of the hart was transferred")
                .ThrowAsJavaScriptException();
            return Napi::Value();
        }
        auto* state = reinterpret_cast<State*>(state_.Value().Data());
        guest_space_t space{nullptr, reinterpret_cast<guest_exit_t*>(exit_.Value().Data())};
        int32_t result = pound_space_begin(space_, &space.table);
        if (result == GUEST_MEM_ACCESS_OK) {
            result = hart_->run(state, &space, end);
            pound_space_end(space_);
        }
        return Napi::Number::New(info.Env(), result);
    }

    pound_space_t* space_ = nullptr;
    Napi::Reference<Napi::BigUint64Array> state_;
    Napi::Reference<Napi::BigUint64Array> exit_;
    std::unique_ptr<Hart> hart_;
};

Napi::Object init(Napi::Env env, Napi::Object exports) {
    exports.Set("Hart", HartObject::define(env));
    return exports;
}

} // namespace

NODE_API_MODULE(hart, init)
