function(pound_use_cxx17 target scope)
    target_compile_features(${target} ${scope} cxx_std_17)
    # The feature alone would not select C++17 if the compiler's default is newer or has extensions.
    set_target_properties(${target} PROPERTIES CXX_STANDARD 17 CXX_EXTENSIONS OFF)
endfunction()

# PRIVATE, so that consumers do not inherit the warnings of pound's own sources.
function(pound_enable_warnings target)
    if(MSVC)
        target_compile_options(${target} PRIVATE /W4 $<$<BOOL:${POUND_WARNINGS_AS_ERRORS}>:/WX>)
    else()
        target_compile_options(${target} PRIVATE
            -Wall -Wextra -Wpedantic -Wconversion -Wshadow
            $<$<BOOL:${POUND_WARNINGS_AS_ERRORS}>:-Werror>)
    endif()
endfunction()

# PUBLIC, because a program that links instrumented objects needs the sanitizer runtimes.
function(pound_enable_sanitizers target)
    if(POUND_SANITIZE_THREADS)
        set(flags -fsanitize=thread)
    elseif(NOT POUND_SANITIZE)
        return()
    elseif(MSVC)
        # This compiler has no UndefinedBehaviorSanitizer.
        target_compile_options(${target} PUBLIC /fsanitize=address)
        return()
    else()
        set(flags -fsanitize=address,undefined -fno-sanitize-recover=all)
    endif()
    target_compile_options(${target} PUBLIC ${flags} -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC ${flags})
endfunction()
