"""Standard phrases of English documents: receipts, invoices, forms, letters."""

SHOP = (
    # greetings and terms
    "Thank you", "Thank you!", "Thank you for your visit", "Thank you for shopping with us", "Please come again",
    "Thank you, please come again", "See you again", "Have a nice day", "Welcome", "Enjoy your meal",
    "Goods sold are not returnable", "Goods sold are not refundable", "No refund without receipt", "No cash refund",
    "Exchange within 7 days with this receipt", "Please keep this receipt for your records",
    "Please check your change", "Items in original condition only", "Prices include VAT", "Price inclusive of tax",
    "All prices in USD", "This is a computer generated invoice", "No signature required", "Customer copy",
    "Merchant copy", "Duplicate", "Tell us how we did", "Questions or comments?", "Visit us at", "Open daily",
    "Opening hours", "Free Wi-Fi",
    # kinds of document
    "Tax invoice", "Simplified tax invoice", "Receipt", "Cash receipt", "Official receipt", "Sales receipt",
    "Cash bill", "Guest check", "Order slip", "Delivery order", "Parking ticket", "Take away", "Dine in", "Take out",
    "To go",
    # totals
    "Total", "Subtotal", "Sub total", "Grand total", "Net total", "Total due", "Amount due", "Total amount",
    "Total sales", "Total (incl. GST)", "Total excluding tax", "Total including tax", "Total qty", "Total quantity",
    "Total items", "Item count", "Items sold", "Net amount", "Gross amount", "Taxable amount", "Tax amount",
    "Rounding", "Rounding adj", "Rounding adjustment", "Discount", "Total discount", "You saved", "Service charge",
    "Service tax", "Sales tax", "Tip", "Gratuity", "Deposit", "Balance", "Balance due", "Less", "Nett", "Round off",
    "GST summary", "Tax summary", "VAT rate", "Tax rate", "Incl. GST", "Excl. GST", "Tax code", "Amount (RM)",
    "Tax (RM)",
    # payment
    "Cash", "Cash tendered", "Cash paid", "Paid", "Total paid", "Change", "Change due", "Payment", "Payment method",
    "Payment type", "Paid by card", "Credit card", "Debit card", "Visa card", "Mastercard", "Amex", "Card number",
    "Approval code", "Auth code", "Approved", "Terminal ID", "Merchant ID", "Trace No", "Batch No", "Signature",
    "PIN verified", "Contactless", "Gift card", "Voucher", "Coupon", "Loyalty points", "Points earned", "Member",
    "Member No", "Membership",
    # column headings and field labels
    "Item", "Items", "Item description", "Description", "Article", "Product", "Qty", "Quantity", "Unit price",
    "U/Price", "Price", "Amount", "Disc", "Disc %", "UOM", "Ref", "No.", "Code", "Date", "Time", "Date & time",
    "Invoice date", "Invoice no", "Bill no", "Receipt no", "Doc no", "Order no", "Trans no", "Ticket no", "Slip no",
    "Table no", "Table", "Counter", "Cashier", "Served by", "Server", "Salesperson", "Operator", "Clerk", "Staff",
    "User", "Shift", "Register", "Till", "Store", "Branch", "Outlet", "Pax", "Guests", "Covers", "Pump", "Litres",
    "Unleaded", "Diesel", "GST Reg No", "GST ID", "VAT No", "Tax ID", "Company No", "Co. Reg. No", "Customer",
    "Cust. name", "Attention", "Entry time", "Exit time", "Paid time", "Parking fee", "Duration", "Valid until",
    "Vehicle no",
)  # fmt: skip
"""Phrases of receipts."""

OFFICE = (
    "To whom it may concern", "For office use only", "Please print", "Please sign below", "Please attach a copy",
    "Check all that apply", "If yes, please explain", "See attached", "See reverse side", "Not applicable", "N/A",
    "Date received", "Received by", "Prepared by", "Approved by", "Authorized signature", "Signed", "Initials",
    "Witness", "From", "To", "CC", "Subject", "Re", "Date", "Page 1 of 2", "Fax cover sheet", "Number of pages",
    "Confidential", "Urgent", "Memorandum", "Internal memo", "Minutes of the meeting", "Agenda", "Report", "Summary",
    "Introduction", "Conclusion", "Results", "Appendix", "Table of contents", "References", "Figure 1", "Table 2",
    "Draft", "Revised", "Name of applicant", "Full name", "First name", "Last name", "Middle initial",
    "Date of birth", "Place of birth", "Nationality", "Marital status", "Occupation", "Employer", "Position",
    "Department", "Supervisor", "Job title", "Home address", "Mailing address", "Street", "City", "State", "Zip code",
    "Country", "Telephone number", "Fax number", "Account number", "Social security no.", "Policy number",
    "Case number", "File no.", "Contract no.", "Vendor", "Purchase order", "Requested by", "Quantity ordered",
    "Unit cost", "Total cost", "Budget", "Actual", "Variance", "Estimated", "Start date", "End date",
    "Effective date", "Expiration date", "Due date", "Terms", "Net 30 days", "Bank name", "Branch code",
    "Amount in words", "Reason", "Comments", "Remarks", "Instructions", "Description of work", "Type of business",
    "Yes", "No", "Male", "Female", "Other", "Total hours", "Overtime", "Rate", "Gross pay", "Market", "Sample",
    "Test", "Method", "Weight", "Temperature", "Average", "Maximum", "Minimum", "Percent", "Division", "Region",
    "Sincerely", "Yours faithfully", "Best regards", "Enclosure", "Attachment", "Dear Sir or Madam",
    "Thank you for your letter",
)  # fmt: skip
"""Phrases of forms, letters and reports."""

FIELDS = {
    "name": ("Name", "Contact", "Cashier", "Attn", "Manager", "Patient", "Signed", "Applicant", "Buyer"),
    "date": ("Date", "Due date", "Born", "Issued", "Valid until", "Time", "Date of birth", "From", "To"),
    "amount": ("Total", "Amount", "Price", "Fee", "Tax", "Balance", "Deposit", "Salary", "Cost"),
    "number": ("Qty", "Items", "Page", "Table", "Age", "Weight", "Size", "Room", "Score", "Units"),
    "code": ("Ref", "Invoice No.", "Order #", "Account", "ID", "Serial No.", "Code", "Tax ID", "Reg. No", "Batch"),
    "phone": ("Tel", "Phone", "Fax", "Mobile"),
    "email": ("E-mail", "Email", "Web"),
    "place": ("City", "Address", "Place", "Ship to", "State"),
    "title": ("Subject", "Project", "Brand", "Product", "Title", "Remarks", "Department", "Type", "Status", "Note"),
}
"""Labels of form fields, by the kind of value."""

STREETS = ("St.", "Street", "Ave", "Road", "Lane", "Blvd", "Drive", "Way", "Square")
"""Words for streets."""

FIRMS = ("Ltd", "Inc.", "& Co.", "LLC", "GmbH", "Group", "Stores", "& Sons", "Market", "SDN BHD", "Cafe", "Mart")
"""Suffixes of company names."""

SIZES = ("500g", "1kg", "2L", "330ml", "XL", "12pcs", "A4", "0.5L", "No.2", "(M)", "10%", "2x4", "3in1")
"""Suffixes of items for sale."""

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
"""The months. They are abbreviated to their first three letters."""

SPOKEN = (
    *("I", "I", "I", "I", "I", "I", "I'm", "I'll", "I've", "I'd", "it's", "it'll", "don't", "can't", "won't"),
    *("they'll", "you're", "'tis"),
)
"""Words of spoken English; "I" is repeated because it is frequent."""
