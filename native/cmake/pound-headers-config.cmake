# The headers of the npm package, for addons that cmake-js builds: target pound::headers.
if(NOT TARGET pound::headers)
    add_library(pound::headers INTERFACE IMPORTED)
    get_filename_component(pound_headers_dir "${CMAKE_CURRENT_LIST_DIR}/../pound" ABSOLUTE)
    set_target_properties(pound::headers PROPERTIES
        INTERFACE_INCLUDE_DIRECTORIES "${pound_headers_dir}"
        INTERFACE_COMPILE_FEATURES cxx_std_17)
    unset(pound_headers_dir)
endif()
