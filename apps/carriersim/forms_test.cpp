#include "carriersim/forms.hpp"

#include <gtest/gtest.h>

namespace holdfast::carriersim {
namespace {

TEST(CarrierForms, AreReadInTheirOrderAndToTheirEnd) {
  Form form("FORM=SNDSTO\nKUNNR=0000004711\nSNDNR=0080000001\n", "SNDSTO");
  EXPECT_EQ(form.text("KUNNR"), "0000004711");
  EXPECT_EQ(form.number("SNDNR", 9'999'999'999), 80'000'001);
  form.end();
}

TEST(CarrierForms, RefuseWhatIsNotTheForm) {
  EXPECT_THROW(Form("", "SNDSTO"), BadForm);
  EXPECT_THROW(Form("FORM=SNDNEU\n", "SNDSTO"), BadForm);
  EXPECT_THROW(Form("FORM=SNDSTO", "SNDSTO"), BadForm) << "a line ends";
  EXPECT_THROW(Form("FORM=SNDSTO\nA=1\n", "SNDSTO").text("B"), BadForm);
  EXPECT_THROW(Form("FORM=SNDSTO\nAB=1\n", "SNDSTO").text("A"), BadForm);
  EXPECT_THROW(Form("FORM=SNDSTO\nA=1\n", "SNDSTO").end(), BadForm);
  for (const char* number : {"", "-1", "1x", " 1", "11", "99999999999999999999"}) {
    const std::string body = "FORM=SNDSTO\nN=" + std::string(number) + "\n";
    Form form(body, "SNDSTO");
    EXPECT_THROW(form.number("N", 10), BadForm) << number;
  }
}

TEST(CarrierForms, AddressesHaveFourPartsAndAStreet) {
  EXPECT_EQ(fault_of_address("1 St|London|LDN|N1"), "");
  EXPECT_EQ(fault_of_address("1 St|||"), "");
  EXPECT_EQ(fault_of_address(R"(1 \\ St|London|LDN|N1)"), "");
  for (const char* wrong : {"", "|||", "1 St|London", "1 St|a|b|c|d", R"(1 St|a|b|c\)"})
    EXPECT_NE(fault_of_address(wrong), "") << wrong;
}

TEST(CarrierForms, DatesHaveDots) {
  constexpr std::int64_t kDay = 86'400'000'000;
  EXPECT_EQ(date_after(0, 3), "1970.01.04");
  EXPECT_EQ(date_after(19'721 * kDay + 5, 3), "2024.01.02") << "over the end of a year";
  EXPECT_EQ(date_after(19'780 * kDay, 1), "2024.02.28");
  EXPECT_EQ(date_after(19'780 * kDay, 2), "2024.02.29");
}

TEST(CarrierForms, AnswersAreLinesOfTheirKind) {
  const std::string form =
      answer_form("00", "0000004711", {{80'000'001, "0000004711", "r", "LC1", "A", "2024.01.02", "a|b|c|d"}});
  EXPECT_EQ(
      form,
      "FORM=SNDANT\r\nRC=00\r\nKUNNR=0000004711\r\nANZSND=1\r\nSNDNR=0080000001\r\nXREF=r\r\nBOLNR=LC1\r\n"
      "STATUS=A\r\nLFDAT=2024.01.02\r\nADRESSE=a|b|c|d\r\n");
}

}  // namespace
}  // namespace holdfast::carriersim
