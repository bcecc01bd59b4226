# Everything comes from Debian 12's packages; docs/adr/ says what each is for.
find_package(Boost 1.81 REQUIRED COMPONENTS context json)
find_package(OpenSSL 3 REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(PostgreSQL REQUIRED)
find_package(CURL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(fmt REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(NATS REQUIRED IMPORTED_TARGET libnats)
pkg_check_modules(RABBITMQ REQUIRED IMPORTED_TARGET librabbitmq)
pkg_check_modules(KAFKA REQUIRED IMPORTED_TARGET rdkafka)
pkg_check_modules(BROTLI REQUIRED IMPORTED_TARGET libbrotlienc libbrotlidec)
find_library(HIREDIS_LIBRARY hiredis REQUIRED)  # by name: its pkg-config flags are another file offset's
add_library(holdfast_dependencies INTERFACE)
target_link_libraries(holdfast_dependencies INTERFACE Boost::context Boost::json OpenSSL::SSL OpenSSL::Crypto
  SQLite::SQLite3 PostgreSQL::PostgreSQL CURL::libcurl ZLIB::ZLIB fmt::fmt yaml-cpp PkgConfig::BROTLI
  PkgConfig::NATS PkgConfig::RABBITMQ PkgConfig::KAFKA hiredis
  Threads::Threads)

if(HOLDFAST_TESTS OR NOT DEFINED HOLDFAST_TESTS)
  find_package(GTest REQUIRED)
endif()
