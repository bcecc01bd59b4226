// The object ids of PostgreSQL's built-in types that are told apart here (catalog/pg_type.dat; they
// never change).
#pragma once

namespace holdfast::sql::postgres {

inline constexpr unsigned int kUnknown = 0;  // the server finds out from where it stands
inline constexpr unsigned int kBool = 16;
inline constexpr unsigned int kBytea = 17;
inline constexpr unsigned int kInt8 = 20;
inline constexpr unsigned int kInt2 = 21;
inline constexpr unsigned int kInt4 = 23;
inline constexpr unsigned int kText = 25;
inline constexpr unsigned int kOid = 26;
inline constexpr unsigned int kFloat4 = 700;
inline constexpr unsigned int kFloat8 = 701;
inline constexpr unsigned int kNumeric = 1700;
inline constexpr unsigned int kByteaArray = 1001;
inline constexpr unsigned int kTextArray = 1009;
inline constexpr unsigned int kInt8Array = 1016;
inline constexpr unsigned int kFloat8Array = 1022;

}  // namespace holdfast::sql::postgres
