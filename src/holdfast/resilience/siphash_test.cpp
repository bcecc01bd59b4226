#include "holdfast/resilience/siphash.hpp"

#include <gtest/gtest.h>

#include <string>

namespace holdfast::resilience {
namespace {

constexpr SipKey kPaperKey{.low = 0x0706050403020100ULL, .high = 0x0f0e0d0c0b0a0908ULL};

std::string counting(int length) {
  std::string text;
  for (int i = 0; i < length; ++i) text.push_back(static_cast<char>(i));
  return text;
}

TEST(SipHash, AgreesWithThePaperAndTheReferenceVectors) {
  EXPECT_EQ(siphash(kPaperKey, counting(15)), 0xa129ca6149be45e5ULL);
  EXPECT_EQ(siphash(kPaperKey, ""), 0x726fdb47dd0e0e31ULL);
  EXPECT_EQ(siphash(kPaperKey, counting(8)), 0x93f5f5799a932462ULL);
}

TEST(SipHash, DependsOnTheSecret) { EXPECT_NE(siphash({1, 2}, "ann"), siphash({1, 3}, "ann")); }

}  // namespace
}  // namespace holdfast::resilience
