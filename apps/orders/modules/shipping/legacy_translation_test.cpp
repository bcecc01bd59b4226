#include "orders/modules/shipping/legacy_translation.hpp"

#include <gtest/gtest.h>

#include "orders/modules/shipping/testing/carrier_contract.hpp"

namespace holdfast::orders::shipping::legacy {
namespace {

template <class T>
std::optional<FaultKind> kind_of(const Translated<T>& translated) {
  return translated ? std::nullopt : std::optional(translated.fault().kind);
}

TEST(LegacyTranslation, PadsCustomerNumbersToTenDigits) {
  EXPECT_EQ(*write_customer_number("4711"), "0000004711");
  EXPECT_EQ(*write_customer_number("1234567890"), "1234567890");
  EXPECT_EQ(*write_customer_number("0004711"), "0000004711");
  EXPECT_EQ(*read_customer_number("0000004711"), "4711");
  for (const char* wrong : {"", "0", "12345678901", "47 11", "-4711", "4711x"}) {
    EXPECT_EQ(kind_of(write_customer_number(wrong)), FaultKind::bad_number) << wrong;
  }
  for (const char* wrong : {"", "4711", "0000000000", "00000047110", "000000471x"}) {
    EXPECT_EQ(kind_of(read_customer_number(wrong)), FaultKind::bad_number) << wrong;
  }
}

TEST(LegacyTranslation, ReadsAndWritesDates) {
  EXPECT_EQ(write_date(DeliveryDate::of(2023, 12, 31)), "2023.12.31");
  EXPECT_EQ(write_date(std::nullopt), "0000.00.00");
  EXPECT_EQ(*read_date("2023.12.31", "LFDAT"), DeliveryDate::of(2023, 12, 31));
  EXPECT_EQ(*read_date("2024.02.29", "LFDAT"), DeliveryDate::of(2024, 2, 29));
  EXPECT_EQ(*read_date("0000.00.00", "LFDAT"), std::nullopt);
  for (const char* wrong : {"", "2023-12-31", "31.12.2023", "2023.2.29", "2023.02.29", "2023.13.01",
                            "2023.00.10", "2023.12.31 ", "0000.12.31", "2O23.12.31"}) {
    EXPECT_EQ(kind_of(read_date(wrong, "LFDAT")), FaultKind::bad_date) << wrong;
  }
  EXPECT_EQ(read_date("x", "LFDAT").fault().text(), "bad_date in LFDAT");
}

TEST(LegacyTranslation, WritesAmountsInTheCurrencysDecimals) {
  const auto amount = [](std::int64_t minor, const char(&code)[4]) {
    return *write_amount({minor, *Currency::parse(code)});
  };
  EXPECT_EQ(amount(1250, "GBP"), "12.50");
  EXPECT_EQ(amount(5, "GBP"), "0.05");
  EXPECT_EQ(amount(0, "EUR"), "0.00");
  EXPECT_EQ(amount(1250, "JPY"), "1250");
  EXPECT_EQ(amount(1250, "KWD"), "1.250");
  EXPECT_EQ(amount(std::numeric_limits<std::int64_t>::max(), "USD"), "92233720368547758.07");
  EXPECT_EQ(kind_of(write_amount({-1, Currency::of("GBP")})), FaultKind::bad_amount);
}

TEST(LegacyTranslation, ReadsAmountsStrictly) {
  const Currency gbp = Currency::of("GBP");
  EXPECT_EQ(*read_amount("12.50", gbp), (Money{1250, gbp}));
  EXPECT_EQ(*read_amount("92233720368547758.07", gbp),
            (Money{std::numeric_limits<std::int64_t>::max(), gbp}));
  EXPECT_EQ(*read_amount("1250", Currency::of("JPY")), (Money{1250, Currency::of("JPY")}));
  for (const char* wrong : {"", ".", "12", "12.5", "12,50", "012.50", "-1.00", "1.2.3", "12.500", "1e3.00",
                            "92233720368547758.08", "12.5x"}) {
    EXPECT_EQ(kind_of(read_amount(wrong, gbp)), FaultKind::bad_amount) << wrong;
  }
  EXPECT_EQ(kind_of(read_amount("12.50", Currency::of("JPY"))), FaultKind::bad_amount);
}

TEST(LegacyTranslation, ReadsAddressesOfFourParts) {
  const Place place{"123 Main St", "New York", "NY", "10001"};
  EXPECT_EQ(*read_address("123 Main St|New York|NY|10001", "ADRESSE"), place);
  EXPECT_EQ(*write_address(place), "123 Main St|New York|NY|10001");
  EXPECT_EQ(*read_address("|||", "ADRESSE"), Place{});
  EXPECT_EQ(*write_address({R"(a|b\)", "", "", ""}), R"(a\|b\\|||)");
  EXPECT_EQ(*read_address(R"(a\|b\\|||)", "ADRESSE"), (Place{R"(a|b\)", "", "", ""}));

  EXPECT_EQ(kind_of(read_address("", "ADRESSE")), FaultKind::bad_address);
  EXPECT_EQ(kind_of(read_address("a|b|c", "ADRESSE")), FaultKind::bad_address);
  EXPECT_EQ(kind_of(read_address("a|b|c|d|e", "ADRESSE")), FaultKind::bad_address);
  EXPECT_EQ(kind_of(read_address("a|b|c|d\\", "ADRESSE")), FaultKind::bad_escape);
  EXPECT_EQ(kind_of(read_address("a\\n|b|c|d", "ADRESSE")), FaultKind::bad_escape);
  EXPECT_EQ(kind_of(read_address("a\t|b|c|d", "ADRESSE")), FaultKind::control_character);
  EXPECT_EQ(kind_of(read_address("a\xff|b|c|d", "ADRESSE")), FaultKind::not_text);
}

TEST(LegacyTranslation, WritesTheFormOfABooking) {
  const auto form = write_booking(testing::sample_request("sag_1/book"), "4711");
  ASSERT_TRUE(form) << form.fault().text();
  EXPECT_EQ(*form,
            "FORM=SNDNEU\nKUNNR=0000004711\nXREF=sag_1/book\nNAME1=Ada Lovelace\nNAME2=Flat 3\n"
            "ADRESSE=12 St James's Sq \\| rear \\\\ yard|Zürich||SW1Y 4JH\nLAND1=GB\nNETWR=29.50\nWAERK=GBP\n"
            "X_FLAG_2=X\nANZPOS=2\nMATNR=MUG-1\nMENGE=2\nMATNR=CAKE\nMENGE=1\n");
}

TEST(LegacyTranslation, RefusesToWriteWhatWouldNotFitOrWouldForgeALine) {
  const auto fault = [](const std::function<void(BookingRequest&)>& spoil) {
    BookingRequest request = testing::sample_request("r");
    spoil(request);
    const auto form = write_booking(request, "4711");
    return form ? std::string("none") : form.fault().text();
  };
  EXPECT_EQ(fault([](auto& r) { r.destination.name = "x\nSTATUS=Z"; }), "control_character in NAME1");
  EXPECT_EQ(fault([](auto& r) { r.destination.city = std::string(41, 'x'); }), "too_long in ADRESSE");
  EXPECT_EQ(fault([](auto& r) { r.destination.line1.clear(); }), "empty_field in ADRESSE");
  EXPECT_EQ(fault([](auto& r) { r.reference = std::string(65, 'x'); }), "too_long in XREF");
  EXPECT_EQ(fault([](auto& r) { r.parcels[0].quantity = 0; }), "bad_number in MENGE");
  EXPECT_EQ(fault([](auto& r) { r.parcels.resize(501, {"A", "a", 1}); }), "bad_number in ANZPOS");
  EXPECT_EQ(fault([](auto& r) { r.declared_value.minor = -1; }), "bad_amount in NETWR");
  EXPECT_EQ(fault([](auto&) {}), "none");
  // Forty characters, not bytes.
  EXPECT_EQ(fault([](auto& r) {
              r.destination.city.clear();
              for (int i = 0; i < 40; ++i) r.destination.city += "ü";
            }),
            "none");
}

TEST(LegacyTranslation, SaysWhatOfADestinationDoesNotFitByOurNames) {
  Destination to = testing::sample_request("r").destination;
  EXPECT_TRUE(faults_of(to).empty());
  to.postal_code = "12345678901";
  to.name = "";
  const auto faults = faults_of(to);
  ASSERT_EQ(faults.size(), 2U);
  EXPECT_EQ(faults[0].pointer, "/name");
  EXPECT_EQ(faults[0].code, "empty_field");
  EXPECT_EQ(faults[1].pointer, "/postalCode");
  EXPECT_EQ(faults[1].code, "too_long");
}

const std::string kAnswer =
    "FORM=SNDANT\r\nRC=00\r\nKUNNR=0000004711\r\nANZSND=1\r\nSNDNR=0080000001\r\nXREF=sag_1/book\r\n"
    "BOLNR=LC0080000001\r\nSTATUS=A\r\nLFDAT=2023.12.31\r\nADRESSE=1 Main|NY|NY|10001\r\n";

TEST(LegacyTranslation, ReadsAnAnswer) {
  const auto answer = read_answer(kAnswer, "4711");
  ASSERT_TRUE(answer) << answer.fault().text();
  EXPECT_EQ(answer->verdict, Verdict::done);
  ASSERT_EQ(answer->bookings.size(), 1U);
  EXPECT_EQ(answer->bookings[0], (Booking{.carrier_ref = "0080000001",
                                          .reference = "sag_1/book",
                                          .tracking_number = "LC0080000001",
                                          .status = BookingStatus::booked,
                                          .expected_delivery = DeliveryDate::of(2023, 12, 31),
                                          .delivers_to = {"1 Main", "NY", "NY", "10001"}}));
}

TEST(LegacyTranslation, RefusesEachWayInWhichAnAnswerCanBeMalformed) {
  struct Case {
    const char* from;
    const char* to;
    const char* fault;
  };
  const Case cases[] = {
      {"FORM=SNDANT", "FORM=SNDNEU", "bad_code in FORM"},
      {"FORM=SNDANT", "FORM", "not_a_field in FORM"},
      {"RC=00", "RC=99", "bad_code in RC"},
      {"RC=00", "RC=0", "empty_field in RC"},
      {"KUNNR=0000004711", "KUNNR=4711", "bad_number in KUNNR"},
      {"KUNNR=0000004711", "KUNNR=0000004712", "foreign in KUNNR"},
      {"ANZSND=1", "ANZSND=2", "missing_field in SNDNR"},
      {"ANZSND=1", "ANZSND=0", "left_over in FORM"},
      {"ANZSND=1", "ANZSND=101", "bad_number in ANZSND"},
      {"ANZSND=1", "ANZSND=-1", "bad_number in ANZSND"},
      {"SNDNR=0080000001", "SNDNR=", "empty_field in SNDNR"},
      {"XREF=", "REF=", "missing_field in XREF"},
      {"STATUS=A", "STATUS=Q", "bad_code in STATUS"},
      {"LFDAT=2023.12.31", "LFDAT=31.12.2023", "bad_date in LFDAT"},
      {"ADRESSE=1 Main|NY|NY|10001", "ADRESSE=1 Main, NY", "bad_address in ADRESSE"},
      {"BOLNR=LC", "BOLNR=\x01", "control_character in BOLNR"},
      {"BOLNR=LC", "BOLNR=\xff", "not_text in FORM"},
  };
  for (const Case& each : cases) {
    std::string form = kAnswer;
    form.replace(form.find(each.from), std::string_view(each.from).size(), each.to);
    const auto answer = read_answer(form, "4711");
    ASSERT_FALSE(answer) << each.to;
    EXPECT_EQ(answer.fault().text(), each.fault) << each.to;
  }
  EXPECT_EQ(kind_of(read_answer("", "4711")), FaultKind::missing_field);
  EXPECT_EQ(kind_of(read_answer(std::string(kMaxFormBytes + 1, 'x'), "4711")), FaultKind::not_text);
  for (std::size_t cut = 0; cut + 1 < kAnswer.size(); ++cut) {  // cut anywhere, it is no answer
    EXPECT_FALSE(read_answer(kAnswer.substr(0, cut), "4711")) << cut;
  }
}

}  // namespace
}  // namespace holdfast::orders::shipping::legacy
